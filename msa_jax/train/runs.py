"""Runs side by side on a mesh of devices with the axes "run" and "data": the only place that knows how many runs there are.

Runs that are trained side by side are dealt to devices; no run waits for another, since they have nothing in common but what
they read. The rows of a mini-batch can be split over several devices too: XLA divides the computation, and every loss sees
the whole mini-batch, as on one device. The dataset's rows then lie on these devices, a share on each. A CPU counts as one
device for each core, since two runs on a core each are faster than one after the other on both.

Several processes (see `processes`) have the devices of one mesh between them, as many from each.
"""

import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from msa_jax.errors import InputError
from msa_jax.train import processes

RUNS, ROWS, SHARED = P("run"), P("data"), P()
MOST_CORES = 8


def use_cores() -> None:
    """Makes JAX see the cores of a CPU as devices. Has no effect where JAX is in use already or was told a number."""
    if "JAX_NUM_CPU_DEVICES" not in os.environ and "device_count" not in os.environ.get("XLA_FLAGS", ""):
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", min(cores, MOST_CORES))


@dataclass(frozen=True)
class Layout:
    """What lies where. data: devices that share each mini-batch. devices: those of all processes, by default all there are."""

    data: int = 1
    devices: tuple[jax.Device, ...] | None = None

    @property
    def _devices(self) -> tuple[jax.Device, ...]:
        return tuple(jax.devices()) if self.devices is None else self.devices

    @property
    def _owned(self) -> dict[int, list[jax.Device]]:
        """The devices of each process."""
        owned: dict[int, list[jax.Device]] = {}
        for device in self._devices:
            owned.setdefault(device.process_index, []).append(device)
        return dict(sorted(owned.items()))

    def check(self) -> None:
        """Raises InputError where there are not as many devices, the processes do not have as many each, or did not meet."""
        if jax.process_count() > processes.count():
            raise InputError(
                f"this host is one of {jax.process_count()} whose devices are used together; run the same command on all of "
                "them with --distributed"
            )
        counts = [len(own) for own in self._owned.values()]
        if len(set(counts)) > 1:
            raise InputError(
                f"the processes have {', '.join(map(str, counts))} devices; expected the same number in each of them"
            )
        if self.data > len(self._devices):
            raise InputError(f"option data_devices is {self.data}; there are {len(self._devices)} devices")
        if self.data > 1 and self.data % len(self._owned):
            raise InputError(
                f"option data_devices is {self.data}; {len(self._owned)} processes can only have as many of them each"
            )

    @property
    def run_slots(self) -> int:
        """How many runs have devices of their own."""
        return len(self._devices) // self.data

    def mesh(self, runs: int) -> Mesh | None:
        """As many devices as can have the same number of runs, times those of each mini-batch; None for one device.

        Where there are several processes, none is without a device: those that would be compute what others do.
        """
        owned = self._owned
        counts = [count for count in range(1, min(runs, self.run_slots) + 1) if runs % count == 0]
        dealt = [count for count in counts if count * self.data % len(owned) == 0]
        count, data = (max(dealt), self.data) if dealt else (1, len(owned))
        if count * data == 1:
            return None
        chosen = [device for own in owned.values() for device in own[: count * data // len(owned)]]
        devices = np.array(chosen).reshape(count, data)
        return Mesh(devices, ("run", "data"), axis_types=(AxisType.Auto, AxisType.Auto))

    def load(self, runs: int) -> int:
        """How many of so many runs side by side lie on each device that they lie on."""
        mesh = self.mesh(runs)
        return runs if mesh is None else runs // mesh.shape["run"]

    def together(self, runs: int, *, room: int, most: int) -> int:
        """How many of an experiment's runs go side by side, so that few come one after the other on a device.

        Args:
          runs: of the experiment.
          room: runs that a device has memory for.
          most: runs side by side, at most.
        """

        def loads(count: int) -> list[int]:
            whole, rest = divmod(runs, count)  # the rest goes side by side at the end
            return [self.load(count)] * whole + [self.load(rest)] * (rest > 0)

        def cost(count: int) -> int:
            # What a program costs whatever the number of its runs counts as one more of them.
            return sum(1 + load for load in loads(count))

        fitting = [count for count in range(1, min(runs, most) + 1) if max(loads(count)) <= room]
        return min(fitting, key=lambda count: (cost(count), max(loads(count)), -count))

    def shard_runs(self, tree: Any, runs: int) -> Any:
        """Leaves [R, ...] on the devices of `runs` runs, a share each."""
        return self._placed(tree, runs, RUNS)

    def spread(self, runs: int) -> NamedSharding | None:
        """How leaves [R, ...] of so many runs lie on their devices; None for one device."""
        mesh = self.mesh(runs)
        return None if mesh is None else NamedSharding(mesh, RUNS)

    def replicate(self, tree: Any, runs: int) -> Any:
        """All leaves, whole, on every device of `runs` runs."""
        return self._placed(tree, runs, SHARED)

    def shard_rows(self, columns: Any, runs: int, rows: np.ndarray | None = None) -> Any:
        """Leaves [N, ...], or their `rows` [n], split over the devices of a mini-batch; a process reads those of its own.

        Rows are added, where these devices do not divide them.
        """
        if self.data == 1:
            return self.replicate(columns if rows is None else jax.tree.map(lambda column: column[rows], columns), runs)
        rows = np.arange(len(jax.tree.leaves(columns)[0])) if rows is None else rows
        rows = np.pad(rows, (0, self.rounded(len(rows)) - len(rows)))
        sharding = NamedSharding(self.mesh(runs), ROWS)

        def place(column: np.ndarray) -> jax.Array:
            shape = len(rows), *column.shape[1:]
            return jax.make_array_from_callback(shape, sharding, lambda index: column[rows[index[0]]])

        return jax.tree.map(place, columns)

    def to_host(self, tree: Any) -> Any:
        """Leaves of which this process has only a part, as arrays of numpy; the others as they are."""

        def gather(leaf: Any) -> Any:
            if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable:
                return leaf
            if leaf.is_fully_replicated:
                return np.asarray(leaf.addressable_data(0))
            return multihost_utils.process_allgather(leaf, tiled=True)

        return jax.tree.map(gather, tree)

    def _placed(self, tree: Any, runs: int, spec: P) -> Any:
        mesh = self.mesh(runs)
        if mesh is None:
            return jax.device_put(tree, self._devices[0])
        sharding = NamedSharding(mesh, spec)
        return jax.device_put(tree, sharding) if processes.count() == 1 else jax.tree.map(partial(_put, sharding), tree)

    def sharded(self, function: Callable[..., Any], specs: tuple[P, ...], runs: int) -> Callable[..., Any]:
        """`function` of each device's share of `runs` runs; specs: RUNS or SHARED for each argument. Gives [R, ...]."""
        mesh = self.mesh(runs)
        if mesh is None or mesh.shape["run"] == 1:
            return function
        return jax.shard_map(
            function, mesh=mesh, in_specs=specs, out_specs=RUNS, axis_names=frozenset({"run"}), check_vma=False
        )

    def whole(self, leaf: jax.Array) -> jax.Array:
        """In a compiled program: an array that each device of a mini-batch has whole."""
        return (
            leaf if self.data == 1 else jax.lax.with_sharding_constraint(leaf, NamedSharding(self._mesh_here(), SHARED))
        )

    def split_rows(self, tree: Any) -> Any:
        """In a compiled program: leaves [B, ...] split over the devices of a mini-batch, where these divide B."""
        if self.data == 1:
            return tree
        mesh = self._mesh_here()

        def split(leaf: jax.Array) -> jax.Array:
            if leaf.ndim == 0 or leaf.shape[0] % self.data:
                return leaf
            return jax.lax.with_sharding_constraint(leaf, NamedSharding(mesh, ROWS))

        return jax.tree.map(split, tree)

    def _mesh_here(self) -> Any:
        """Of the program that is being traced; of one run where that has none."""
        mesh = jax.sharding.get_abstract_mesh()
        return self.mesh(1) if mesh.empty else mesh

    def rounded(self, rows: int) -> int:
        """Up to a number of rows that the devices of a mini-batch divide."""
        return -(-rows // self.data) * self.data


ONE = Layout()


def _put(sharding: NamedSharding, leaf: Any) -> jax.Array:
    """On the devices of several processes, without asking whether all of them have the same."""
    # First of all, since JAX moves no array of keys from one process to another, only their numbers.
    if isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(_put(sharding, jax.random.key_data(leaf)), impl=jax.random.key_impl(leaf))
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        return jax.device_put(leaf, sharding)
    value = np.asarray(leaf)
    return jax.make_array_from_callback(value.shape, sharding, lambda index: value[index])


class Shared:
    """A tree that the programs of any number of runs read, put on their devices once.

    tree: as it was given. place: of a layout, how it is put there. kept: the numbers of runs, those asked for last, whose
    devices hold it at the same time.
    """

    def __init__(self, tree: Any, place: Callable[[Any, int], Any], *, kept: int = 1):
        self.tree, self._place, self._kept = tree, place, kept
        self._placed: dict[int, Any] = {}

    def on(self, runs: int) -> Any:
        """The tree on the devices of so many runs."""
        if runs not in self._placed:
            while len(self._placed) >= self._kept:
                self._placed.pop(next(iter(self._placed)))  # it leaves the devices of another number before it comes
            self._placed[runs] = self._place(self.tree, runs)
        self._placed[runs] = self._placed.pop(runs)  # to the end, the last asked for
        return self._placed[runs]


def vmap_runs(function: Callable[..., Any], *arguments: Any) -> Any:
    """`function` of each of R runs, by `jax.vmap`; a run alone is computed without the axis.

    The batching rules of a run alone would cost: both branches of a condition would be computed.
    """
    if len(jax.tree.leaves(arguments)[0]) > 1:
        return jax.vmap(function)(*arguments)
    alone = function(*jax.tree.map(lambda leaf: leaf[0], arguments))
    return jax.tree.map(lambda leaf: leaf[None], alone)


class ShardedRuns:
    """A function of R runs, compiled for the devices that R runs lie on.

    specs: {argument: RUNS or SHARED}; the function is called with these arguments by name. donate: an argument whose
    buffers become those of the result.
    """

    def __init__(
        self, layout: Layout, function: Callable[..., Any], specs: Mapping[str, P], *, donate: str | None = None
    ):
        self._layout, self._function, self._specs, self._donate = layout, function, dict(specs), donate
        self._compiled: dict[Any, Callable[..., Any]] = {}

    def __call__(self, *, runs: int, static: Mapping[str, Any] | None = None, **arguments: Any) -> Any:
        """What the function gives, [R, ...].

        Args:
          runs: R.
          static: keyword arguments that decide what is compiled.
          arguments: those of `specs`.
        """
        return self.compiled(runs, static)(*(arguments[name] for name in self._specs))

    def compile(self, *, runs: int, static: Mapping[str, Any] | None = None, **arguments: Any) -> None:
        """Compiles what a call with arguments of these shapes needs, and runs nothing. The call finds it in JAX's cache."""
        self.compiled(runs, static).lower(*(arguments[name] for name in self._specs)).compile()

    def compiled(self, runs: int, static: Mapping[str, Any] | None = None) -> Any:
        """The jitted function of `runs` runs; it takes the arguments in the order of `specs`."""
        key = self._layout.mesh(runs), tuple(sorted((static or {}).items()))
        if key not in self._compiled:

            def named(*arguments: Any) -> Any:
                return self._function(**dict(zip(self._specs, arguments, strict=True)), **(static or {}))

            function = self._layout.sharded(named, tuple(self._specs.values()), runs)
            donated = () if self._donate is None else (list(self._specs).index(self._donate),)
            self._compiled[key] = jax.jit(function, donate_argnums=donated)
        return self._compiled[key]
