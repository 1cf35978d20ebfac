"""How much the benchmark measures, and where."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

MATMULS = {"cpu": (1024, 2048), "cuda": (4096, 8192)}


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much is measured, and where.

    device: "cpu" or "cuda". trace: where profiles of our training go; none for no profile.
    repetitions: turns of every side. windows: of our side in one turn (the peer's turn is one).
    step_windows: of a turn of the step's cost. bert_batches: of a turn of the peak's share. epochs: turns of a dataset.
    method_steps: training steps and predictions in one turn of a method. system_steps, mult_steps: training steps in one of a
      system, of MulT.
    starts: fresh processes of each side. sweep_epochs: of a sweep, at least 2.
    """

    repetitions: Mapping[str, int]
    windows: Mapping[str, int]
    device: str = "cpu"
    trace: Path | None = None
    step_windows: int = 100
    step_repetitions: int = 9
    bert_batches: Mapping[str, int] = field(default_factory=lambda: {"minilm": 8, "base": 3})
    epochs: int = 3
    method_steps: Mapping[str, int] = field(default_factory=lambda: {"minilm": 4, "base": 2})
    system_steps: int = 10
    mult_steps: int = 2
    starts: int = 3
    sweep_epochs: int = 3


FULL = Effort(repetitions={"minilm": 9, "base": 5}, windows={"minilm": 3, "base": 1})
QUICK = replace(FULL, repetitions={"minilm": 4, "base": 2}, step_repetitions=3, epochs=1, starts=1, sweep_epochs=2)


def cores() -> int:
    """Of the processor, as far as this process may use them."""
    return len(os.sched_getaffinity(0))
