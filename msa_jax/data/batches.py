"""Batch plans: which rows make which batch, decided on the host, walked on the device."""

from typing import NamedTuple

import jax
import numpy as np

from msa_jax.data.packing import Capacity, Packing, deal, plan_packing

ROUNDS = 16  # of exchanges; two or three are usual


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
    order: np.ndarray, batch_size: int, lengths: np.ndarray | None = None, capacity: Capacity | None = None
) -> Plan:
    """The rows `order` [M], in that order; the last batch is padded.

    lengths: [N] tokens of each utterance of the dataset; with `capacity`, the plan of their packing.

    Raises:
      ValueError: a batch does not fit.
    """
    padding = -len(order) % batch_size
    rows = np.concatenate([order, np.zeros(padding, order.dtype)]).reshape(-1, batch_size).astype(np.int32)
    weight = np.concatenate([np.ones(len(order)), np.zeros(padding)]).reshape(-1, batch_size).astype(np.float32)
    packing = Packing(np.zeros_like(rows), np.zeros_like(rows))
    if lengths is not None and capacity is not None:
        packing, need = plan_packing(np.where(weight > 0, lengths[rows], 0), capacity.width)
        if need.max() > capacity.rows:
            raise ValueError(f"a batch needs {need.max()} rows of packed text, there are {capacity.rows}")
    return Plan(rows, rows, weight, packing)


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
      lengths: [N] tokens of each utterance; with `capacity`, batches whose text would not fit exchange utterances with
        the emptiest ones until they do.
      capacity: of packed text.
    """
    order = np.random.default_rng([seed, epoch]).permutation(rows)
    if lengths is not None and capacity is not None:
        order = _even_out(order, batch_size, lengths, capacity)
    return ordered_plan(order, batch_size, lengths, capacity)


def _even_out(order: np.ndarray, batch_size: int, lengths: np.ndarray, capacity: Capacity) -> np.ndarray:
    """`order` with a few exchanges between batches, so that all of them fit the capacity; dealt anew where those do not do.

    In a round each batch that does not fit meets one of the emptiest, and they exchange the two rows that bring both nearest
    to their mean.
    """
    batches, full = -(-len(order) // batch_size), len(order) // batch_size
    batch = np.resize(order, (batches, batch_size))  # what repeats in the last one has no tokens
    size = lengths[batch]
    size.reshape(-1)[len(order) :] = 0
    _, need = plan_packing(size, capacity.width)
    for _ in range(ROUNDS):
        if need.max() <= capacity.rows:
            break
        tokens = size.sum(1)
        # A shorter last batch takes no part: it would end with long utterances alone.
        by_tokens = np.argsort(tokens[:full], kind="stable")
        fits = need[by_tokens] <= capacity.rows
        crowded, spacious = by_tokens[~fits][::-1], by_tokens[fits]
        count = min(len(crowded), len(spacious))
        if not count:
            break
        pairs = np.stack([crowded[:count], spacious[:count]], axis=1)
        for full_one, empty_one in pairs:
            wanted = (tokens[full_one] - tokens[empty_one]) / 2
            moved = size[full_one][:, None] - size[empty_one][None, :]  # tokens, where rows [i, j] are exchanged
            one, other = np.unravel_index(np.argmin(np.abs(moved - wanted)), moved.shape)
            for array in (batch, size):
                array[full_one, one], array[empty_one, other] = array[empty_one, other], array[full_one, one]
        _, need[pairs.reshape(-1)] = plan_packing(size[pairs.reshape(-1)], capacity.width)
    if need.max() <= capacity.rows:
        return batch.reshape(-1)[: len(order)]
    return deal(order, lengths, batch_size)  # which the capacity always holds
