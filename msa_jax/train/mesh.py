"""Devices as a mesh of the axes "run" and "data".

Runs that are trained side by side are dealt to devices; no run waits for another, since they have nothing in common but what
they read. The rows of a mini-batch can be split over several devices too: XLA divides the computation, and every loss sees
the whole mini-batch, as on one device. A CPU counts as one device for each core, since two runs on a core each are faster
than one after the other on both.
"""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from msa_jax.errors import InputError

RUNS, SHARED = P("run"), P()
MOST_CORES = 8


def use_cores() -> None:
    """Makes JAX see the cores of a CPU as devices. Has no effect where JAX is in use already or was told a number."""
    if "JAX_NUM_CPU_DEVICES" not in os.environ and "device_count" not in os.environ.get("XLA_FLAGS", ""):
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", min(cores, MOST_CORES))


@dataclass(frozen=True)
class Layout:
    """What lies where. data: devices that share each mini-batch."""

    data: int = 1

    def check(self) -> None:
        """Raises InputError where there are not as many devices."""
        if self.data > len(jax.local_devices()):
            raise InputError(f"option data_devices is {self.data}; there are {len(jax.local_devices())} devices")

    @property
    def room(self) -> int:
        """How many runs have devices of their own."""
        return len(jax.local_devices()) // self.data

    def mesh(self, runs: int) -> Mesh | None:
        """As many devices as can have the same number of runs, times those of each mini-batch; None for one device."""
        count = max(count for count in range(1, min(runs, self.room) + 1) if runs % count == 0)
        if count * self.data == 1:
            return None
        devices = np.array(jax.local_devices()[: count * self.data]).reshape(count, self.data)
        return Mesh(devices, ("run", "data"), axis_types=(AxisType.Auto, AxisType.Auto))

    def deal(self, tree: Any, runs: int) -> Any:
        """Leaves [R, ...] on the devices of `runs` runs, a share each."""
        return self._placed(tree, runs, RUNS)

    def share(self, tree: Any, runs: int) -> Any:
        """All leaves, whole, on every device of `runs` runs."""
        return self._placed(tree, runs, SHARED)

    def _placed(self, tree: Any, runs: int, spec: P) -> Any:
        mesh = self.mesh(runs)
        return jax.device_put(tree, jax.local_devices()[0] if mesh is None else NamedSharding(mesh, spec))

    def over_runs(self, function: Callable[..., Any], specs: tuple[P, ...], runs: int) -> Callable[..., Any]:
        """`function` of each device's share of `runs` runs; specs: RUNS or SHARED for each argument. Gives [R, ...]."""
        mesh = self.mesh(runs)
        if mesh is None or mesh.shape["run"] == 1:
            return function
        return jax.shard_map(
            function, mesh=mesh, in_specs=specs, out_specs=RUNS, axis_names=frozenset({"run"}), check_vma=False
        )

    def split_rows(self, tree: Any) -> Any:
        """In a compiled program: leaves [B, ...] split over the devices of a mini-batch, where these divide B."""
        if self.data == 1:
            return tree
        mesh = jax.sharding.get_abstract_mesh()
        mesh = self.mesh(1) if mesh.empty else mesh

        def split(leaf: jax.Array) -> jax.Array:
            if leaf.ndim == 0 or leaf.shape[0] % self.data:
                return leaf
            return jax.lax.with_sharding_constraint(leaf, NamedSharding(mesh, P("data")))

        return jax.tree.map(split, tree)

    def rounded(self, rows: int) -> int:
        """Up to a number of rows that the devices of a mini-batch divide."""
        return -(-rows // self.data) * self.data


ONE = Layout()


def each_run(function: Callable[..., Any], *arguments: Any) -> Any:
    """`function` of each of R runs, by `jax.vmap`; a run alone is computed without the axis.

    The batching rules of a run alone would cost: both branches of a condition would be computed.
    """
    if len(jax.tree.leaves(arguments)[0]) > 1:
        return jax.vmap(function)(*arguments)
    alone = function(*jax.tree.map(lambda leaf: leaf[0], arguments))
    return jax.tree.map(lambda leaf: leaf[None], alone)


class OverRuns:
    """A function of R runs, compiled for the devices that R runs are dealt to; the first argument has the axis [R]."""

    def __init__(self, layout: Layout, function: Callable[..., Any], specs: tuple[Any, ...], *, donate: bool = False):
        self._layout, self._function, self._specs, self._donate = layout, function, specs, donate
        self._compiled: dict[Any, Callable[..., Any]] = {}

    def __call__(self, *arguments: Any, **static: Any) -> Any:
        return self.compiled(len(jax.tree.leaves(arguments[0])[0]), **static)(*arguments)

    def compiled(self, runs: int, **static: Any) -> Callable[..., Any]:
        """For `runs` runs; `static` are keyword arguments of the function that decide what is compiled."""
        key = self._layout.mesh(runs), tuple(sorted(static.items()))
        if key not in self._compiled:
            function = self._layout.over_runs(partial(self._function, **static), self._specs, runs)
            self._compiled[key] = jax.jit(function, donate_argnums=0 if self._donate else ())
        return self._compiled[key]
