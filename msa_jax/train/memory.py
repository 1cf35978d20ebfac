"""How much memory there is, and what to say where a device has too little."""

import contextlib
import functools
import os
from collections.abc import Iterator
from pathlib import Path

import jax

from msa_jax.errors import first_line
from msa_jax.train import processes

UNKNOWN = 8 * 2**30  # of an accelerator that does not tell; the smallest chips that are in use have as much


@functools.cache
def device_memory() -> int:
    """Bytes of memory of a device; of the machine, on a CPU. The least of all processes, so that all decide the same."""
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        return host_memory()
    return processes.least((device.memory_stats() or {}).get("bytes_limit", UNKNOWN))


@functools.cache
def host_memory() -> int:
    """Bytes of memory of the machine, or of the part of it that a job or container has; the least of all processes."""
    return processes.least(min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *_limits()]))


def _limits(groups: Path = Path("/proc/self/cgroup"), mounted: Path = Path("/sys/fs/cgroup")) -> Iterator[int]:
    """Bytes that the control groups of this process may have, as SLURM and containers set them; none where there are none."""
    with contextlib.suppress(OSError, ValueError):
        for line in groups.read_text().splitlines():
            _, kinds, path = line.split(":", 2)
            root, name = (mounted, "memory.max") if not kinds else (mounted / "memory", "memory.limit_in_bytes")
            if kinds and "memory" not in kinds.split(","):
                continue
            inside = root / path.lstrip("/")
            for folder in (inside, *inside.parents):
                with contextlib.suppress(OSError, ValueError):  # "max" is no limit
                    yield int((folder / name).read_text())
                if folder == root:
                    break


def out_of_memory_message(error: Exception) -> str | None:
    """What to say where `error` tells that a device has too little memory; None where it tells something else."""
    if not isinstance(error, jax.errors.JaxRuntimeError) or "RESOURCE_EXHAUSTED" not in str(error):
        return None
    return f"the device has too little memory ({first_line(error)})"
