"""Batch plans: which rows make which batch, decided on the host, walked on the device."""

from typing import NamedTuple

import jax
import numpy as np

from msa_jax.data.packing import Capacity, Packing, deal, plan_packing


class Plan(NamedTuple):
    """M batches of B rows.

    rows: [M, B] int32, rows of the dataset; padding points at row 0.
    slots: [M, B] int32, where each row lies in the arrays on the device: `rows` itself while the whole split is there.
    weight: [M, B] float32, 1 for a row that counts, 0 for padding.
    packing: where the utterances of a batch go in packed text; zeros without text.
    """

    rows: np.ndarray
    slots: np.ndarray
    weight: np.ndarray
    packing: Packing

    def __len__(self) -> int:
        return self.rows.shape[0]

    def widened(self, batch_size: int) -> "Plan":
        """Batches of that many rows, the new ones padding."""
        more = [(0, 0), (0, batch_size - self.rows.shape[1])]
        return jax.tree.map(lambda array: np.pad(array, more), self) if more[1][1] else self

    def chunk(self, start: int, stop: int) -> "Plan":
        """The batches start to stop."""
        return Plan(
            self.rows[start:stop], self.slots[start:stop], self.weight[start:stop],
            Packing(*(part[start:stop] for part in self.packing)),
        )  # fmt: skip


def ordered_plan(
    rows: int, batch_size: int, lengths: np.ndarray | None = None, capacity: Capacity | None = None
) -> Plan:
    """All rows in their order; the last batch is padded."""
    return _batched(np.arange(rows), batch_size, lengths, capacity)


def epoch_plan(
    rows: int,
    batch_size: int,
    *,
    seed: int,
    epoch: int,
    lengths: np.ndarray | None = None,
    capacity: Capacity | None = None,
) -> Plan:
    """All rows once, in an order that depends on seed and epoch alone, so that a resumed run sees what it would have seen.

    Args:
      rows: N.
      batch_size: B.
      seed: of the run.
      epoch: 1-based.
      lengths: [N] tokens of each utterance; with `capacity`, batches whose text would not fit exchange their longest
        utterance for the shortest of the emptiest batch until they do.
      capacity: of packed text.
    """
    order = np.random.default_rng([seed, epoch]).permutation(rows)
    if lengths is not None and capacity is not None:
        order = _even_out(order, batch_size, lengths, capacity)
    return _batched(order, batch_size, lengths, capacity)


def _batched(order: np.ndarray, batch_size: int, lengths: np.ndarray | None, capacity: Capacity | None) -> Plan:
    padding = -len(order) % batch_size
    rows = np.concatenate([order, np.zeros(padding, order.dtype)]).reshape(-1, batch_size).astype(np.int32)
    weight = np.concatenate([np.ones(len(order)), np.zeros(padding)]).reshape(-1, batch_size).astype(np.float32)
    packing = Packing(np.zeros_like(rows), np.zeros_like(rows))
    if lengths is not None and capacity is not None:
        packing, need = plan_packing(np.where(weight > 0, lengths[rows], 0), capacity.width)
        if need.max() > capacity.rows:
            raise ValueError(f"a batch needs {need.max()} rows of packed text, there are {capacity.rows}")
    return Plan(rows, rows, weight, packing)


def _even_out(order: np.ndarray, batch_size: int, lengths: np.ndarray, capacity: Capacity) -> np.ndarray:
    """`order` with a few exchanges between batches, so that all of them fit the capacity; dealt anew where those do not do."""
    batches = -(-len(order) // batch_size)
    padded = np.full(batches * batch_size, -1)
    padded[: len(order)] = order
    batch = padded.reshape(batches, batch_size)
    size = np.where(batch >= 0, lengths[batch], 0)
    _, need = plan_packing(size, capacity.width)
    never = np.iinfo(np.int64).max
    for _ in range(4 * batches):
        if need.max() <= capacity.rows:
            break
        crowded = int(np.argmax(need))
        longest = int(np.argmax(size[crowded]))
        # Padding stays where it is: only real rows are exchanged, and only for shorter ones.
        shorter = np.where((batch >= 0) & (size < size[crowded, longest]), size, never)
        total = np.where(shorter.min(1) < never, size.sum(1) - shorter.min(1), never)
        total[crowded] = never
        spacious = int(np.argmin(total))
        if total[spacious] == never:
            break
        shortest = int(np.argmin(shorter[spacious]))
        for array in (batch, size):
            array[crowded, longest], array[spacious, shortest] = array[spacious, shortest], array[crowded, longest]
        _, changed = plan_packing(size[[crowded, spacious]], capacity.width)
        need[crowded], need[spacious] = changed
    if need.max() > capacity.rows:  # exchanges can go round in circles; the capacity always holds what `deal` makes
        return deal(order, lengths, batch_size)
    flat = batch.reshape(-1)
    return flat[flat >= 0]
