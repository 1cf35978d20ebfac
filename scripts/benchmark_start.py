"""How long it takes from nothing to the end of a first mini-batch, imports included: each time in a process of its own.

Nothing of JAX or PyTorch is imported before the clock runs.
"""

import time

from scripts.benchmark_serving import use_cache
from scripts.benchmark_workload import Workload


class OurStart:
    """A method's first stage. cache: a folder of compiled programs, empty for a cold start."""

    def __init__(self, name: str, workload: Workload, cache: str):
        use_cache(cache)
        self._name, self._workload = name, workload

    def first_step(self) -> float:
        """Seconds until a first mini-batch has ended, with its update, as the paper protocol has it."""
        begun = time.perf_counter()
        from scripts.benchmark_training import Training, options_of

        options = options_of(self._name, self._workload)
        Training(self._name, options, self._workload, stage=0, phase=0).walk(0, 1)
        return time.perf_counter() - begun


class PeerStart:
    """Self-MM in eager PyTorch."""

    def __init__(self, workload: Workload, *, threads: int, device: str = "cpu"):
        self._workload, self._named = workload, {"threads": threads, "device": device}

    def first_step(self) -> float:
        """Seconds until a first mini-batch has ended, with its update."""
        begun = time.perf_counter()
        from scripts.benchmark_peer import PeerTraining

        PeerTraining(self._workload, **self._named, window=1).block(1)
        return time.perf_counter() - begun
