"""Methods: one file for each published approach, which is the paper in code; `shared` holds what several use.

A method of another package is known after `msa_jax.register(METHOD)`, or always, by an entry point of the group
`msa_jax.methods` that names it.
"""

import contextlib
import difflib
import functools
import importlib
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import TYPE_CHECKING

from msa_jax.errors import InputError

if TYPE_CHECKING:
    from msa_jax.methods.protocol import Method

GROUP = "msa_jax.methods"  # of entry points
BUILT_IN = (
    "self_mm", "sugrm", "mmcl", "confede", "dmmsa", "tfn", "lmf", "lf_dnn", "mtfn", "mlmf", "mlf_dnn",
    "ef_lstm", "lf_lstm", "mfn", "graph_mfn", "mfm", "misa", "mag_bert", "mmim", "mult", "spt",
    "tetfn", "mctn", "raven", "tfr_net", "lnln", "text_only",
)  # fmt: skip

__all__ = ["BUILT_IN", "METHODS", "get", "register"]


class _Methods(Mapping[str, "Method"]):
    """Every method by its name. A module is imported when its method is asked for, so that names alone cost nothing."""

    def __init__(self) -> None:
        self._registered: dict[str, Method] = {}

    def __getitem__(self, name: str) -> "Method":
        if name in self._registered:
            return self._registered[name]
        if name in BUILT_IN:
            return importlib.import_module(f"msa_jax.methods.{name}").METHOD
        return _load(_entry_points()[name])

    def __iter__(self) -> Iterator[str]:
        yield from BUILT_IN
        yield from (name for name in {**self._registered, **_entry_points()} if name not in BUILT_IN)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return name in BUILT_IN or name in self._registered or name in _entry_points()

    def add(self, method: "Method") -> None:
        """Makes a method known by its name, in the place of an earlier one of that name from outside."""
        if method.name in BUILT_IN:
            raise InputError(f"method {method.name!r} is one of msa_jax; choose another name")
        self._registered[method.name] = method

    def remove(self, name: str) -> None:
        """Undoes `add`."""
        del self._registered[name]

    @contextlib.contextmanager
    def held(self, method: "Method") -> Iterator[None]:
        """In the meantime the method is that of its name, in the place of any other, also of one of msa_jax."""
        before = self._registered.get(method.name)
        self._registered[method.name] = method
        try:
            yield
        finally:
            self.remove(method.name)
            if before is not None:
                self._registered[method.name] = before


@functools.cache
def _entry_points() -> dict[str, metadata.EntryPoint]:
    return {point.name: point for point in metadata.entry_points(group=GROUP) if point.name not in BUILT_IN}


def _load(point: metadata.EntryPoint) -> "Method":
    from msa_jax.methods.protocol import Method

    try:
        method = point.load()
    except Exception as error:  # code of somebody else
        raise InputError(
            f"method {point.name}: {point.value} cannot be loaded ({type(error).__name__}: {error})"
        ) from error
    if not isinstance(method, Method) or method.name != point.name:
        raise InputError(f"method {point.name}: {point.value} is no Method of that name")
    return method


METHODS = _Methods()


def register(method: "Method") -> "Method":
    """Makes a method of another package known, so that `msa_jax.train` and its like take its name.

    Returns:
      The method.

    Raises:
      InputError: a name that msa_jax uses itself, or that is no word.
    """
    from msa_jax.methods.protocol import Method

    if not isinstance(method, Method):
        raise InputError(f"register: found {type(method).__name__}; expected a msa_jax.methods.protocol.Method")
    if not method.name.isidentifier():
        raise InputError(f"method {method.name!r}: expected a name of letters, digits and underscores")
    METHODS.add(method)
    return method


def get(name: str) -> "Method":
    """The method of that name.

    Raises:
      InputError: there is none, and the nearest names are suggested; or one of another package cannot be loaded.
    """
    if name in METHODS:
        return METHODS[name]
    near = difflib.get_close_matches(name, METHODS, n=3, cutoff=0.4)
    known = ", ".join(METHODS)
    raise InputError(
        f"unknown method {name!r}; " + (f"did you mean {', '.join(near)}? " if near else "") + f"there are {known}"
    )
