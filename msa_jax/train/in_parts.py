"""Runs in parts of as many as go side by side: fewer, where a device has too little memory for so many."""

from collections.abc import Callable, Sequence
from pathlib import Path

import jax

from msa_jax.errors import OutOfMemory
from msa_jax.train import processes
from msa_jax.train.checkpoint import delete_state, has_state
from msa_jax.train.experiment_dir import Result, Run
from msa_jax.train.memory import out_of_memory_message
from msa_jax.train.progress import Progress

# What a person can do about a device that has too little memory.
NEEDS_LESS = (
    "--remat true or --resident no needs less, a smaller --runs-per-program too (what is unfinished then begins again), or a "
    "smaller --batch-size with another --out"
)


def train_in_parts(
    runs: Sequence[Run],
    together: int,
    train: Callable[[Sequence[Run]], Sequence[Result | None]],
    *,
    fewer: Callable[[int], None],
) -> list[Result | None]:
    """Trains runs in parts, one after the other.

    Args:
      together: runs of a part, but for the last.
      train: of a part, what comes of each of its runs. It raises `OutOfMemory` with a number of runs if so many may have room;
        then the part and all behind it are trained in parts of that number.
      fewer: is told that number, to write it down: whoever goes on after a kill must make the same parts.

    Raises:
      OutOfMemory: there is no room for a part, and it cannot be made smaller.
    """
    results: list[Result | None] = []
    while len(results) < len(runs):
        try:
            results += train(runs[len(results) : len(results) + together])
        except OutOfMemory as error:
            if error.runs is None:
                raise
            together = error.runs
            fewer(together)
    return results


def if_there_is_room(
    runs: Sequence[Run], train: Callable[[Sequence[Run], Path], list[Result | None]], progress: Progress
) -> list[Result | None]:
    """What `train` gives of runs side by side; it takes them and the folder of their state.

    Raises:
      OutOfMemory: a device has too little memory. It names a number of runs that may have room if these are several, have no
        checkpoint, and are trained in one process: the devices of some processes may have more room than those of others.
    """
    first, last = runs[0].folder, runs[-1].folder
    folder = first if len(runs) == 1 else first.parent / f"{first.name}_to_{last.name}"
    try:
        return train(runs, folder)
    except jax.errors.JaxRuntimeError as error:
        message = out_of_memory_message(error)
        if message is None:
            raise
    # Out of the handler, so that what the error holds has left the device.
    if len(runs) == 1 or processes.count() > 1 or has_state(folder):
        raise OutOfMemory(f"{message}; {NEEDS_LESS}")
    delete_state(folder)
    fewer = len(runs) - len(runs) // 2
    progress.line(f"{message} for {len(runs)} runs side by side: from here on {fewer}")
    raise OutOfMemory(f"{message}; {NEEDS_LESS}", runs=fewer)
