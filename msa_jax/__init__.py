"""Multimodal sentiment analysis in JAX: published methods as pure functions, trained by one compiled engine."""

import sys
import types
from importlib import metadata as _metadata
from typing import Any

from msa_jax import config, data, errors, labels, losses, methods, metrics, train
from msa_jax.data import Card, Dataset, Split, load_dataset
from msa_jax.errors import DataWarning, InputError, TrainingStopped
from msa_jax.train.experiment import Experiment
from msa_jax.train.experiment import train as _train
from msa_jax.train.predictor import Predictor

try:
    __version__ = _metadata.version("msa-jax")
except _metadata.PackageNotFoundError:  # a checkout on the path, not installed
    __version__ = "0+unknown"

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
    "labels",
    "load_dataset",
    "losses",
    "methods",
    "metrics",
    "train",
]


class _CallablePackage(types.ModuleType):
    """`msa_jax.train` is the package of the engine and also what one does with it: `msa_jax.train("self_mm", dataset)`."""

    def __call__(self, *arguments: Any, **named: Any) -> Experiment:
        return _train(*arguments, **named)


sys.modules["msa_jax.train"].__class__ = _CallablePackage
