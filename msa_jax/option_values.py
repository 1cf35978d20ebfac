"""Names of options; and their values: what a type admits, how text is read as it, and how a value is written as text."""

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from msa_jax.errors import InputError
from msa_jax.everyday_names import hint


def check_names(known: Mapping[str, object], names: Iterable[Any]) -> None:
    """Raises InputError for a name that is none of the known options; the nearest names are suggested."""
    for name in names:
        if not isinstance(name, str):
            raise InputError(f"option {name!r:.100}: expected the name of an option")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
            nearest = f"; did you mean {', '.join(near)}?" if near else ""
            raise InputError(f"unknown option {name!r}{hint(name, known) or nearest}")


def convert(name: str, kind: Any, value: Any) -> Any:
    """The value of an option as its type has it; text, as on the command line, is read as that type.

    Raises:
      InputError: the value does not fit the type.
    """
    origin, choices = typing.get_origin(kind), typing.get_args(kind)
    if getattr(value, "shape", None) == ():  # a number of numpy
        value = value.item()
    if not isinstance(value, str | int | float | tuple | list | types.NoneType):
        raise InputError(f"option {name} is a {type(value).__name__}; expected {described(kind)}")
    if origin is Literal:
        if value in choices:
            return value
        raise InputError(f"option {name} is {value!r}; expected one of {', '.join(map(str, choices))}")
    if origin in (types.UnionType, typing.Union):
        if types.NoneType in choices and (value is None or (isinstance(value, str) and value.lower() == "none")):
            return None
        words = [word for choice in choices for word in typing.get_args(choice)]  # of a Literal
        if value in words:
            return value
        kinds = [kind for kind in choices if kind is not types.NoneType and typing.get_origin(kind) is not Literal]
        return convert(name, kinds[0] if kinds else Literal[tuple(words)], value)
    if origin is tuple:
        if not isinstance(value, str | tuple | list):
            raise InputError(f"option {name} is {value!r}; expected {described(kind)}")
        parts = value.split(",") if isinstance(value, str) else value
        return tuple(convert(name, choices[0], part) for part in parts if part != "")
    try:
        if kind is bool:
            if isinstance(value, bool):
                return value
            return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[str(value).lower()]
        if kind is str and isinstance(value, str):
            return value
        if kind in (int, float) and isinstance(value, int | float | str) and not isinstance(value, bool):
            number = kind(value)
            if math.isfinite(number) and (isinstance(value, str) or number == value):
                return number
    except (KeyError, ValueError, OverflowError):
        pass
    raise InputError(f"option {name} is {value!r:.100}; expected {described(kind)}")


def check_classes(options: Any) -> None:
    """Raises InputError if a field of nested options, which Python code may set as it likes, holds no object of their class."""
    for field in dataclasses.fields(options):
        kind, value = field.type, getattr(options, field.name)
        if isinstance(kind, type) and dataclasses.is_dataclass(kind) and not isinstance(value, kind):
            wanted = f"a {kind.__module__}.{kind.__qualname__}"
            raise InputError(f"option {field.name} is {value!r:.100}; expected {wanted}")


def shown(value: Any) -> str:
    """The value of an option as it is written on the command line: "none", "true", "0.5", "text,audio"; "empty" of no names."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(map(str, value)) or "empty"
    return str(value)


def described(kind: Any) -> str:
    """The type of an option in words."""
    origin, choices = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return "one of " + ", ".join(map(str, choices))
    if origin is tuple:
        return f"a list of {described(choices[0])}"
    if origin in (types.UnionType, typing.Union):
        return " or ".join(described(choice) for choice in choices)
    return "none" if kind is types.NoneType else getattr(kind, "__name__", str(kind))
