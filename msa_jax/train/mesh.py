"""Devices: runs that are trained side by side are dealt to them, a share of the axis "run" each.

No device waits for another: runs have nothing in common but what they read. A CPU counts as one device for each core, since
two runs on a core each are faster than one after the other on both.
"""

import contextlib
import functools
import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

RUNS, SHARED = P("run"), P()
MOST_CORES = 8


def use_cores() -> None:
    """Makes JAX see the cores of a CPU as devices. Has no effect where JAX is in use already or was told a number."""
    if "JAX_NUM_CPU_DEVICES" not in os.environ and "device_count" not in os.environ.get("XLA_FLAGS", ""):
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", min(cores, MOST_CORES))


@functools.cache
def mesh_of(runs: int) -> Mesh | None:
    """As many devices as can have the same number of `runs` runs; None for one."""
    devices = jax.local_devices()
    count = max(count for count in range(1, min(runs, len(devices)) + 1) if runs % count == 0)
    return None if count == 1 else Mesh(np.array(devices[:count]), ("run",), axis_types=(AxisType.Auto,))


def deal(tree: Any, runs: int) -> Any:
    """Leaves [R, ...] on the devices of `runs` runs, a share each."""
    return _placed(tree, runs, RUNS)


def share(tree: Any, runs: int) -> Any:
    """All leaves, whole, on every device of `runs` runs."""
    return _placed(tree, runs, SHARED)


def _placed(tree: Any, runs: int, spec: P) -> Any:
    mesh = mesh_of(runs)
    return jax.device_put(tree, jax.local_devices()[0] if mesh is None else NamedSharding(mesh, spec))


def over_runs(function: Callable[..., Any], specs: tuple[P, ...], out: Any, runs: int) -> Callable[..., Any]:
    """`function` of each device's share of `runs` runs; specs: RUNS or SHARED for each argument."""
    mesh = mesh_of(runs)
    if mesh is None:
        return function
    return jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=out, check_vma=False)
