"""Runs in parts of as many as go side by side: fewer, where a device has too little memory for so many."""

from collections.abc import Callable, Sequence

from msa_jax.errors import OutOfMemory
from msa_jax.train.experiment_dir import Result, Run

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
