"""Median stopping (Golovin et al., "Google Vizier", 2017): a sweep gives up runs that are worse than half of the others.

After each epoch of its last stage a run is compared with all others of the sweep that have been trained so far, or are beside
it: its best score on valid with the best scores that these had by the same epoch. A run that ended earlier counts with the best
that it had. Whatever is decided follows from the lines of `metrics.jsonl` and from how many runs go side by side, which
`sweep.json` keeps, so a resumed sweep decides the same.
"""

import math
import re
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from msa_jax import metrics
from msa_jax.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Prune:
    """When runs are given up. warmup: epochs, at least 1, before which none is. runs: the fewest others, at least 1."""

    warmup: int = 5
    runs: int = 5

    def __post_init__(self):
        for name in ("warmup", "runs"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(f"prune: {name} is {value!r}; expected a whole number from 1")


class Pruned(NamedTuple):
    """Why a run was given up: after this epoch of all its stages its best score on valid was worse than this median."""

    epoch: int
    best: float
    median: float


class MedianStopping:
    """Which runs to give up.

    Args:
      rule: when.
      metric: of valid, by which runs are compared.
    """

    def __init__(self, rule: Prune, metric: str):
        self._rule, self._metric = rule, metric
        self._sign = -1 if metrics.HIGHER_IS_BETTER[metric] else 1
        self._bests: dict[int, list[float]] = {}  # of each run, lower is better: the best by each epoch
        self._epochs: dict[int, int] = {}  # of each run, over all stages
        self.pruned: dict[int, Pruned] = {}

    def begin(self, lines: Iterable[Mapping[str, Any]], stage: str) -> None:
        """Takes the lines of all runs so far in the place of those that it knows.

        lines: of `metrics.jsonl`. stage: the name of the last one; lines of others are left out.
        """
        self._bests.clear()
        self._epochs.clear()
        self.see(line for line in lines if line.get("stage", stage) == stage)
        # Runs that have begun again were not given up.
        self.pruned = {run: why for run, why in self.pruned.items() if self._epochs.get(run, 0) >= why.epoch}

    def see(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Takes lines of the last stage's next epochs."""
        for line in lines:
            value = line["valid"].get(self._metric)
            value = math.inf if value is None or math.isnan(value) else self._sign * value
            bests = self._bests.setdefault(line["run"], [])
            bests.append(min([value, *bests[-1:]]))
            self._epochs[line["run"]] = line["epoch"]

    def stops(self, run: int) -> bool:
        """Whether a run, by its number, is given up after its newest epoch; `pruned` then says why."""
        bests = self._bests.get(run, [])
        if len(bests) < self._rule.warmup:
            return False
        others = [own[: len(bests)][-1] for number, own in self._bests.items() if number != run]
        if len(others) < self._rule.runs:
            return False
        median = statistics.median(others)
        if bests[-1] <= median:
            return False
        self.pruned[run] = Pruned(self._epochs[run], self._sign * bests[-1], self._sign * median)
        return True


def parse_prune(text: str) -> Prune:
    """Of a command line: "10:8" for a warm-up of 10 epochs and 8 other runs; "" for the defaults.

    Raises:
      InputError: it is something else.
    """
    if not text:
        return Prune()
    if not re.fullmatch(r"\d{1,9}:\d{1,9}", text):
        raise InputError(f"prune is {text!r}; expected EPOCHS:RUNS such as 5:5, or nothing")
    warmup, runs = map(int, text.split(":"))
    return Prune(warmup=warmup, runs=runs)
