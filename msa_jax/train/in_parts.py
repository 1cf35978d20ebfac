"""Runs in parts of as many as go side by side: fewer, where a device has too little memory for so many."""

from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import numpy as np

from msa_jax.errors import OutOfMemory
from msa_jax.train import processes
from msa_jax.train.checkpoint import TO, delete_state, has_state
from msa_jax.train.experiment_dir import Result, Run
from msa_jax.train.memory import out_of_memory_message
from msa_jax.train.progress import Progress


def train_in_parts(
    runs: Sequence[Run],
    together: int,
    train: Callable[[Sequence[Run]], Sequence[Result | None]],
    *,
    done: Callable[[Run], bool],
    load: Callable[[Run], Result | None],
    fewer: Callable[[int], None],
) -> list[Result | None]:
    """Trains runs in parts, one after the other. Whoever goes on after a kill makes the same parts.

    Args:
      together: runs of a part, but for the last.
      train: of a part, what comes of each of its runs. It raises `OutOfMemory` with a number of runs if so many may have room;
        then the part and all behind it are trained in parts of that number.
      done: whether a run has ended. load: what came of it.
      fewer: is told that number, to write it down.

    Raises:
      OutOfMemory: there is no room for a part, and it cannot be made smaller.
    """
    results: list[Result | None] = []
    while len(results) < len(runs):
        left = runs[len(results) :]
        count = int(processes.of_primary(np.int32(_next(left, together, done) if processes.is_primary() else 0)))
        if not count:
            results.append(load(left[0]))
            continue
        try:
            results += train(left[:count])
        except OutOfMemory as error:
            if error.runs is None:
                raise
            together = error.runs
            fewer(together)
    return results


def _next(runs: Sequence[Run], together: int, done: Callable[[Run], bool]) -> int:
    """How many of the runs make the next part: those of which there is a state, else as many as go side by side and are not
    done; 0 if the first is done."""
    first = runs[0].folder
    places = {run.folder.name: place for place, run in enumerate(runs)}
    for folder in [first, *sorted(first.parent.glob(f"{first.name}{TO}*"))]:
        last = places.get(folder.name.removeprefix(f"{first.name}{TO}"))
        if last is not None and has_state(folder):
            return last + 1
    return next((place for place, run in enumerate(runs[:together]) if done(run)), len(runs[:together]))


def if_there_is_room(
    runs: Sequence[Run], train: Callable[[Sequence[Run], Path], list[Result | None]], progress: Progress
) -> list[Result | None]:
    """What `train` gives of runs side by side; it takes them and the folder of their state.

    Raises:
      OutOfMemory: a device has too little memory. It names a number of runs that may have room if these are several, have no
        checkpoint, and are trained in one process: the devices of some processes may have more room than those of others.
    """
    first, last = runs[0].folder, runs[-1].folder
    folder = first if len(runs) == 1 else first.parent / f"{first.name}{TO}{last.name}"
    try:
        return train(runs, folder)
    except jax.errors.JaxRuntimeError as error:
        message = out_of_memory_message(error)
        if message is None:
            raise
    # Out of the handler, so that what the error holds has left the device.
    side = "" if len(runs) == 1 else ", a smaller --runs-per-program too (what is unfinished then begins again)"
    helps = f"{message}; --remat true or --resident no needs less{side}, or a smaller --batch-size with another --out"
    if len(runs) == 1 or processes.count() > 1 or has_state(folder):
        raise OutOfMemory(helps)
    delete_state(folder)
    fewer = len(runs) - len(runs) // 2
    progress.line(f"{message} for {len(runs)} runs side by side: from here on {fewer}")
    raise OutOfMemory(helps, runs=fewer)
