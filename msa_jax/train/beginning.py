"""Where a run and its stages begin, and what a stage leaves for the next one, in a folder."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from msa_jax.errors import InputError
from msa_jax.train.checkpoint import load_params, save_params, saved_shapes


class Beginning(NamedTuple):
    """What a stage of a run starts from: all parameters of the network, and the method's memory."""

    params: Any
    memory: Any


def write_beginning(folder: Path, begin: Beginning) -> None:
    """Keeps what a stage leaves."""
    save_params(folder, _as_dict(begin))


def read_beginning(folder: Path, like: Beginning) -> Beginning:
    """What a stage left in its folder, in the structure of `like`.

    Raises:
      InputError: there is nothing, it is damaged, or of other shapes.
    """
    kept = load_params(folder)
    _check_shapes(folder, jax.tree.map(np.shape, kept), like)
    leaves = [kept[f"memory_{number}"] for number in range(len(kept) - 1)]
    memory = jax.tree.unflatten(jax.tree.structure(like.memory), leaves)
    return jax.tree.map(jnp.asarray, Beginning(kept["params"], memory))


def check_beginning(folder: Path, like: Beginning) -> None:
    """Raises InputError where `read_beginning` would; no array is read, and those of `like` may be shapes alone."""
    _check_shapes(folder, saved_shapes(folder), like)


def _check_shapes(folder: Path, found: Any, like: Beginning) -> None:
    if found != jax.tree.map(np.shape, _as_dict(like)):
        raise InputError(
            f"{folder}: what this stage left does not fit this experiment: another method, other parameters or other rows"
        )


def other_run(experiment: Path, seed: int) -> Path:
    """The folder of the run, of another experiment, whose first stages are taken."""
    runs = sorted(path for path in (experiment / "checkpoints").glob("*") if (path / "stages").is_dir())
    named = [path for path in runs if path.name == str(seed)] or (runs if len(runs) == 1 else [])
    if not named:
        found = f"it has those of seeds {', '.join(path.name for path in runs)}" if runs else "it has none"
        raise InputError(f"option stages_from: {experiment} has no stages of seed {seed}; {found}")
    return named[0]


def _as_dict(begin: Beginning) -> dict[str, Any]:
    """As it is kept: a memory may be of any type, so that its arrays are numbered."""
    memory = {f"memory_{number}": leaf for number, leaf in enumerate(jax.tree.leaves(begin.memory))}
    return {"params": begin.params, **memory}
