"""Several seeds of Self-MM: side by side, or one after the other, by the programs of the engine."""

import time
from typing import Any

import numpy as np

from scripts.benchmark_ours import options
from scripts.benchmark_training import Training, columns_of
from scripts.benchmark_workload import SEEDS, Workload


class OurSeeds:
    """Training of five seeds, from the second epoch on.

    together: side by side, as `msa-jax train` has them, or one after the other. frozen: the text encoder's states are data.
    """

    def __init__(self, workload: Workload, *, together: bool, frozen: bool):
        columns, chosen = columns_of(workload), options(batch_size=workload.batch_size)
        if frozen:
            mask, width = columns["text"]["mask"], workload.encoder.hidden_size
            states = np.random.default_rng(0).standard_normal((*mask.shape, width)).astype(np.float32)
            columns["text"] = {"features": states * mask[..., None], "mask": mask}

        def training(seeds: tuple[int, ...]) -> Any:
            return Training("self_mm", chosen, workload, seeds=seeds, columns=columns)

        first = training(SEEDS[:1])
        room = first.inits.layout.run_slots if together else 1
        groups = [SEEDS[start : start + room] for start in range(0, len(SEEDS), room)]
        self._groups = [first if group == SEEDS[:1] else training(group) for group in groups]

    def block(self, windows: int | None = None) -> float:
        """Seconds of the first windows of an epoch, by default of all, of all seeds."""
        begun = time.perf_counter()
        for group in self._groups:
            whole = group.batches // group.phase.options.accumulate
            group.walk(0, min(windows or whole, whole))
        return time.perf_counter() - begun
