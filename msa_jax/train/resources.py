"""What a process uses: memory at its highest, and seconds in the compiler."""

import functools
import resource
import sys

import jax

_SECONDS = [0.0]


@functools.cache
def watch_compiler() -> None:
    """Begins to count."""

    def count(event: str, seconds: float, **_: str) -> None:
        if event.endswith("backend_compile_duration"):
            _SECONDS[0] += seconds

    jax.monitoring.register_event_duration_secs_listener(count)


def compile_seconds() -> float:
    """In the compiler since `watch_compiler`, reading programs that were kept included."""
    return _SECONDS[0]


def peak_memory_mb() -> float:
    """MiB of the first device at the highest; on a CPU, of this process."""
    statistics = jax.local_devices()[0].memory_stats() or {}
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return statistics.get("peak_bytes_in_use", highest) / 2**20
