"""The engine: state, programs, stages, checkpoints. It knows no method by name.

This package can be called: `msa_jax.train("self_mm", dataset)` is `msa_jax.train.experiment.train`. Its modules are
imported when they are first asked for.
"""

import importlib
import importlib.util
import inspect
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from msa_jax.train import gdwg

__all__ = ["gdwg"]


class TrainPackage(types.ModuleType):
    """The type of `msa_jax.train`: a package, and the function that trains."""

    if TYPE_CHECKING:
        from msa_jax.train import experiment, gdwg, predictor, processes

        __call__ = staticmethod(experiment.train)
    else:

        @property
        def __doc__(self) -> str:
            """What `help(msa_jax.train)` shows: the function. The package comes behind it."""
            function = self.experiment.train
            head = f"train{inspect.signature(function)}"
            return f"{function.__doc__.splitlines()[0]}\n\n{head}\n\n{inspect.getdoc(function)}\n\n{_PACKAGE}"

        def __call__(self, *arguments: Any, **named: Any) -> Any:
            """Trains a method on a dataset; arguments, result and errors are those of `msa_jax.train.experiment.train`."""
            return self.experiment.train(*arguments, **named)

    def __getattr__(self, name: str) -> types.ModuleType:
        module = f"{self.__name__}.{name}"
        if name.startswith("_") or importlib.util.find_spec(module) is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return importlib.import_module(module)


_PACKAGE = __doc__
sys.modules[__name__].__class__ = TrainPackage
