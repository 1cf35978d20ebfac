"""Parameters that training left as they were pretrained: one file holds them for all runs of an experiment.

It lies beside the folders of the runs and is named by the SHA-256 sum of its contents. Each `params.json` names it by its path.
"""

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from msa_jax.layers.stack import unstack
from msa_jax.train.atomic import read_json
from msa_jax.train.model import flat, nested
from msa_jax.train.state import Flat

SHARED = "shared"  # the folder
_SHARED_FILE = re.compile(rf"(?:\.\./)+{SHARED}/([0-9a-f]{{64}})\.safetensors")


class Pretrained(NamedTuple):
    """Where runs begin: params, by path, and the folder that keeps those that they left as they are, once for all runs."""

    params: Flat
    folder: Path


def parted(tree: Any, pretrained: Pretrained | None) -> tuple[Any, Flat]:
    """The tree without the parameters that equal pretrained ones, and these by path."""
    if pretrained is None or not pretrained.params:
        return tree, {}
    given, params = unstack(pretrained.params), flat(tree["params"])
    shared = {path: value for path, value in params.items() if path in given and np.array_equal(value, given[path])}
    own = {path: value for path, value in params.items() if path not in shared}
    return {**tree, "params": nested(own)}, shared


def joined(tree: Any, shared: Flat) -> Any:
    """A tree that was parted, whole again."""
    return {**tree, "params": nested({**flat(tree["params"]), **shared})}


def shared_file(folder: Path) -> Path | None:
    """The file of the parameters that what `save_variables` or `save_stage` left in a folder has in common with others."""
    sums = read_json(folder / "params.json")
    found = [name for name in sums if _SHARED_FILE.fullmatch(name)] if isinstance(sums, dict) else []
    return folder / "params" / found[0] if found else None
