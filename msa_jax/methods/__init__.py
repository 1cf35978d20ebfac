"""Methods: one file for each published approach. The file is the paper in code."""

import difflib

from msa_jax.errors import InputError
from msa_jax.methods import confede, dmmsa, mmcl, self_mm, sugrm, text_only
from msa_jax.methods.protocol import Clock, Group, Inputs, Method, Stage

METHODS: dict[str, Method] = {
    "self_mm": self_mm.METHOD,
    "sugrm": sugrm.METHOD,
    "mmcl": mmcl.METHOD,
    "confede": confede.METHOD,
    "dmmsa": dmmsa.METHOD,
    "text_only": text_only.METHOD,
}

__all__ = ["METHODS", "Clock", "Group", "Inputs", "Method", "Stage", "get"]


def get(name: str) -> Method:
    """The method of that name.

    Raises:
      InputError: there is none; the nearest names are suggested.
    """
    if name in METHODS:
        return METHODS[name]
    near = difflib.get_close_matches(name, METHODS, n=3, cutoff=0.4)
    known = ", ".join(METHODS)
    raise InputError(
        f"unknown method {name!r}; " + (f"did you mean {', '.join(near)}? " if near else "") + f"there are {known}"
    )
