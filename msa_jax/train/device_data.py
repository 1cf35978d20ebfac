"""The training arrays on the device: all of them at once, or in chunks where they are too many."""

import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from msa_jax.config import Options
from msa_jax.data.batches import Plan
from msa_jax.data.preprocess import Columns
from msa_jax.train.memory import device_memory, host_memory
from msa_jax.train.runs import ONE, Layout, Shared

STREAM_BYTES = 128 * 2**20  # of one chunk, of which two are there at a time
SHARE = 0.4  # of the device's memory that a dataset may take


def streams(columns: Columns, options: Options) -> bool:
    """Whether the arrays are read in chunks, since they do not stay on the device."""
    return options.resident == "no" or (options.resident == "auto" and not fits(bytes_of(columns), options))


def fits(size: int, options: Options) -> bool:
    """Whether training arrays of so many bytes may stay on the devices of a mini-batch, which have a share each.

    The devices of a CPU are its cores, and have one memory.
    """
    devices = 1 if jax.local_devices()[0].platform == "cpu" else options.data_devices
    return size <= SHARE * device_memory() * devices


def fits_host(size: int) -> bool:
    """Whether arrays of so many bytes may stay in the memory of the machine."""
    return size <= SHARE * host_memory()


class DeviceData:
    """Gives the arrays and the plan of each chunk of an epoch; one chunk where the dataset stays on the device."""

    def __init__(self, columns: Columns, options: Options, layout: Layout = ONE):
        self._layout = layout
        self.columns, self._options = columns, options
        self.streams = streams(columns, options)
        self._resident = Shared(columns, layout.shard_rows)
        row_bytes = max(1, bytes_of(columns) // max(1, len(columns["label"])))
        batches = max(1, STREAM_BYTES // (row_bytes * options.batch_size))
        self._chunk = math.ceil(batches / options.accumulate) * options.accumulate  # whole windows

    def chunks(self, plans: Sequence[Plan]) -> Iterator[tuple[Any, Plan, int, int]]:
        """Yields the arrays, the plans to walk with them, how many of their batches are real, and their first batch's number.

        plans: of R runs, of equal shapes; of one where the arrays stream. Those that come out have a leading axis [R].
        """
        if not self.streams:
            yield self._resident.on(len(plans)), jax.tree.map(lambda *parts: np.stack(parts), *plans), len(plans[0]), 0
            return
        (plan,) = plans
        size = min(self._chunk, len(plan))
        for first in range(0, len(plan), size):
            part = plan.chunk(first, first + size)
            real = len(part)
            slots = np.arange(part.rows.size, dtype=np.int32).reshape(part.rows.shape)
            part = Plan(part.rows, slots, part.weight, part.packing)
            if real < size:  # the last chunk keeps the shape of the others, so that nothing is compiled again
                part = jax.tree.map(functools.partial(_grow, rows=size), part)
            data = self._layout.shard_rows(self.columns, 1, part.rows.reshape(-1))
            yield data, jax.tree.map(lambda array: array[None], part), real, first


def bytes_of(columns: Columns) -> int:
    """Of all arrays."""
    return sum(array.nbytes for array in jax.tree.leaves(columns))


def _grow(array: np.ndarray, rows: int) -> np.ndarray:
    """The array with zeros behind, up to that many rows."""
    return np.concatenate([array, np.zeros((rows - len(array), *array.shape[1:]), array.dtype)])
