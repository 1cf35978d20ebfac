"""Multimodal sentiment analysis in JAX: published methods as pure functions, trained by one compiled engine.

Importing this package imports none of its parts. Each is imported when it is first asked for, because JAX and what builds
on it take seconds, which the command's `--help` and its error messages do not need.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from msa_jax import config, data, errors, extract, labels, losses, methods, metrics, modalities, testing
    from msa_jax.data import Card, Dataset, Split, load_dataset
    from msa_jax.errors import DataWarning, InputError, TrainingStopped
    from msa_jax.methods import register
    from msa_jax.train import TrainPackage
    from msa_jax.train.experiment import Experiment, resume
    from msa_jax.train.predictor import Predictor

    train: TrainPackage
    __version__: str

__all__ = [
    "Card",
    "DataWarning",
    "Dataset",
    "Experiment",
    "InputError",
    "Predictor",
    "Split",
    "TrainingStopped",
    "__version__",
    "config",
    "data",
    "errors",
    "extract",
    "labels",
    "load_dataset",
    "losses",
    "methods",
    "metrics",
    "modalities",
    "register",
    "resume",
    "testing",
    "train",
]

_MODULE_OF = {  # every name that is no module
    "Card": "data",
    "DataWarning": "errors",
    "Dataset": "data",
    "Experiment": "train.experiment",
    "InputError": "errors",
    "Predictor": "train.predictor",
    "Split": "data",
    "TrainingStopped": "errors",
    "load_dataset": "data",
    "register": "methods",
    "resume": "train.experiment",
}


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("msa-jax")
    except metadata.PackageNotFoundError:  # a checkout on the path, not installed
        return "0+unknown"


if not TYPE_CHECKING:  # a type checker would take every misspelt name for a good one

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        if name == "__version__":
            value = _version()
        elif name in _MODULE_OF:
            value = getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
        else:
            value = importlib.import_module(f"{__name__}.{name}")
        globals()[name] = value  # so that this function is asked once
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
