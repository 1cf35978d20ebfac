"""Runs side by side for which a device has too little memory: in halves, one after the other."""

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
    "a smaller --runs-per-program or --batch-size needs less, --remat true too, or --resident no; what is done is kept"
)
Train = Callable[[Sequence[Run], Path], list[Result | None]]


class Halving:
    """Remembers how many runs of an experiment have room side by side, once more of them had none."""

    def __init__(self, progress: Progress):
        self._progress = progress
        self._fitting: int | None = None

    def train(self, runs: Sequence[Run], train: Train) -> list[Result | None]:
        """What `train` gives of runs side by side, or of their halves where all of them have no room.

        train: takes runs and the folder of their state.

        Raises:
          OutOfMemory: there is no room, and the runs have begun already, it is only one, or there are several processes.
        """
        folder = _folder(runs)
        if processes.primary_says(lambda: self._comes_in_halves(runs)):
            return self._halves(runs, train)
        try:
            return train(runs, folder)
        except jax.errors.JaxRuntimeError as error:
            message = out_of_memory_message(error)
            if message is None:
                raise
        # Out of the handler, so that what the error holds has left the device. Several processes could not agree, since the
        # devices of some may have room.
        if len(runs) == 1 or processes.count() > 1 or has_state(folder):
            raise OutOfMemory(f"{message}; {NEEDS_LESS}")
        delete_state(folder)
        self._fitting = len(runs) - len(runs) // 2
        self._progress.line(f"{message}: {len(runs)} runs are trained in two parts, one after the other")
        return self._halves(runs, train)

    def _halves(self, runs: Sequence[Run], train: Train) -> list[Result | None]:
        return [result for half in _halves(runs) for result in self.train(half, train)]

    def _comes_in_halves(self, runs: Sequence[Run]) -> bool:
        """Whether so many had no room side by side, in this process or in one before, which left something of a part."""
        if len(runs) == 1 or _begun(runs):
            return False
        too_many = self._fitting is not None and len(runs) > self._fitting
        return too_many or any(_begun(half) or self._comes_in_halves(half) for half in _halves(runs))


def finished(runs: Sequence[Run]) -> bool:
    """Whether all of these runs have ended and left their results."""
    return all((run.folder / "result.json").is_file() for run in runs)


def _folder(runs: Sequence[Run]) -> Path:
    """Where the state of runs side by side lies."""
    first, last = runs[0].folder, runs[-1].folder
    return first if len(runs) == 1 else first.parent / f"{first.name}_to_{last.name}"


def _begun(runs: Sequence[Run]) -> bool:
    """Whether these runs have something to go on from as they are, side by side, or have ended."""
    return finished(runs) or has_state(_folder(runs))


def _halves(runs: Sequence[Run]) -> tuple[Sequence[Run], Sequence[Run]]:
    middle = len(runs) // 2
    return runs[:middle], runs[middle:]
