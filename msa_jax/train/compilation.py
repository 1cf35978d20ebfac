"""What compilation costs: programs are kept on disk for the next time; seconds in the compiler and memory are counted."""

import contextlib
import functools
import os
import resource
import sys
import warnings
from pathlib import Path

import jax

from msa_jax.errors import InputError
from msa_jax.paths import cache_folder
from msa_jax.train import processes

_SECONDS = [0.0]
_BEFORE: list[int | None] = [None]  # the highest memory of the device, before an experiment


def keep_compiled_programs() -> Path | None:
    """Turns JAX's persistent compilation cache on, in the user's cache folder, and returns that folder.

    Who has chosen for themselves is left alone: by `JAX_COMPILATION_CACHE_DIR` or its option, or by
    `JAX_ENABLE_COMPILATION_CACHE=false`. A folder that cannot be written costs a warning, not the run. Several processes keep
    nothing unless a folder is chosen, which they must share: XLA divides the search for the fastest kernels among them, and
    those that compile would wait for those that read the program from a folder of their own.
    """
    if not jax.config.jax_enable_compilation_cache:
        return None
    if jax.config.jax_compilation_cache_dir is not None:
        return Path(jax.config.jax_compilation_cache_dir)
    if processes.count() > 1:
        return None
    try:
        folder = cache_folder() / "compiled"
        folder.mkdir(parents=True, exist_ok=True)
    except InputError as error:
        warnings.warn(f"compiled programs are not kept: {error}", stacklevel=2)
        return None
    except OSError as error:
        warnings.warn(f"compiled programs are not kept: {folder}: {error.strerror}", stacklevel=2)
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        # JAX's own second leaves out the many small programs of a start, which together take longer than some large one.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    return folder


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


def forget_peak_memory() -> None:
    """Begins to look for the highest memory anew. A CPU's process can under Linux; a device never forgets its highest."""
    _BEFORE[0] = _highest_of_device()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mb() -> float | None:
    """MiB of the first device at the highest since `forget_peak_memory`, or on a CPU, of this process.

    None if a device has needed more before, so that nothing is known of what came since.
    """
    highest = _highest_of_device()
    if highest is None:
        return round(_highest_of_process() / 2**20, 1)
    return None if _BEFORE[0] is not None and highest <= _BEFORE[0] else round(highest / 2**20, 1)


def _highest_of_device() -> int | None:
    return (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use")


def _highest_of_process() -> int:
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM:")).split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
