"""Packing: several utterances share one row of tokens.

MOSI's utterances average 15 word pieces of a padded 50, so most of a padded batch is padding. The host plans where each
utterance of a batch goes (first fit, longest first); the device moves the tokens there. Attention is confined to an
utterance by its segment number and positions restart with each, so every hidden state equals the padded computation's.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array

WIDEST = 128  # tokens of a row, unless an utterance has more; attention within a row costs width², slack at its end costs slots
# The share of random batches that fit as they come; `data.batches` evens out the others. At 0.7, with MOSI's and MOSEI's
# lengths in batches of 32, 92 to 95 % of the slots hold a token and 3 % of the rows change their batch; at 0.95, 83 to 85 %
# and 0.3 %.
QUANTILE = 0.7


class Packing(NamedTuple):
    """Where the utterances of M batches of B go. row, offset: [M, B] int32, of the first token of each."""

    row: np.ndarray
    offset: np.ndarray


class Capacity(NamedTuple):
    """The fixed shape of packed text: `rows` rows of `width` tokens for one batch."""

    rows: int
    width: int


def plan_packing(lengths: np.ndarray, width: int) -> tuple[Packing, np.ndarray]:
    """First fit, longest first, for many batches at once.

    Args:
      lengths: [M, B] int, tokens of each utterance, in [0, width]; 0 takes no room.
      width: tokens in a row.

    Returns:
      The packing, and how many rows each batch needs [M].
    """
    batches, size = lengths.shape
    order = np.argsort(-lengths, axis=1, kind="stable")
    used = np.zeros((batches, size), np.int32)  # tokens in each row; never more rows than utterances
    row = np.zeros((batches, size), np.int32)
    offset = np.zeros((batches, size), np.int32)
    index = np.arange(batches)
    for rank in range(size):
        utterance = order[:, rank]
        length = lengths[index, utterance]
        first = np.argmax(used + length[:, None] <= width, axis=1)
        row[index, utterance] = first
        offset[index, utterance] = used[index, first]
        used[index, first] += length
    return Packing(row, offset), (used > 0).sum(1)


def choose_capacity(
    lengths: np.ndarray, batch_size: int, *, ordered: bool = False, widths: tuple[int, ...] = ()
) -> Capacity:
    """The shape that holds nearly all batches of utterances of these lengths in the fewest slots.

    Args:
      lengths: [N] int.
      batch_size: B.
      ordered: True for batches of neighbours, as `lengths` has them, all of which must fit; False for random ones, of
        which QUANTILE must, and all of those that `deal` makes.
      widths: the row widths to choose from; by default the multiples of 8 from the longest utterance up to WIDEST.
    """
    least = -(-max(int(lengths.max()), 1) // 8) * 8
    size = min(batch_size, len(lengths))
    if ordered:
        draws = _batches(lengths, size)
    else:
        draws = _random_batches(lengths, size)
        dealt = _batches(lengths[deal(np.arange(len(lengths)), lengths, size)], size)
    best = None
    for width in widths or range(least, max(least, WIDEST) + 1, 8):
        _, need = plan_packing(draws, width)
        if ordered:
            rows = max(1, int(need.max()))
        else:
            usual = np.quantile(need, QUANTILE, method="higher")
            rows = max(1, int(usual), int(plan_packing(dealt, width)[1].max()))
        cost = rows * width * (1 + width / 2048)
        if best is None or cost < best[0]:
            best = (cost, Capacity(rows, width))
    return best[1]


def deal(order: np.ndarray, lengths: np.ndarray, batch_size: int) -> np.ndarray:
    """Rows dealt to batches like cards, the longest first, so that all batches have about the same tokens.

    Args:
      order: [N] int, rows of the dataset; rows of equal length keep the order they have here.
      lengths: [>= N] int, tokens of each row of the dataset.
      batch_size: B; the last batch may have fewer rows.

    Returns:
      [N] int, the rows of one batch after another. Which lengths meet in a batch does not depend on `order`.
    """
    count = len(order)
    batches = -(-count // batch_size)
    last = count - (batches - 1) * batch_size  # rows of the last batch
    card = np.arange(count)
    short = card - last * batches  # the cards from here on go to the other batches only
    everyone = short < 0
    players = np.where(everyone, batches, max(batches - 1, 1))
    round_ = np.where(everyone, card // batches, last + short // players)
    seat = np.where(everyone, card % batches, short % players)
    seat = np.where(round_ % 2, players - 1 - seat, seat)  # back and forth: who got the shortest begins the next round
    dealt = np.empty_like(order)
    dealt[seat * batch_size + round_] = order[np.argsort(-lengths[order], kind="stable")]
    return dealt


def _batches(lengths: np.ndarray, size: int) -> np.ndarray:
    return np.concatenate([lengths, np.zeros(-len(lengths) % size, lengths.dtype)]).reshape(-1, size)


def _random_batches(lengths: np.ndarray, size: int) -> np.ndarray:
    # A fixed draw: the shape must not depend on the seed of a run.
    rng = np.random.default_rng(0)
    some = rng.permutation(lengths)[: max(4096, size)]
    draws = rng.permuted(np.tile(some, (max(1, 16384 // len(some)), 1)), axis=1)
    return draws[:, : draws.shape[1] // size * size].reshape(-1, size)


def pack(ids: Array, mask: Array, row: Array, offset: Array, capacity: Capacity) -> dict[str, Array]:
    """Moves the tokens of a batch into packed rows, on the device.

    Args:
      ids: [B, T] int32. mask: [B, T], 1 at tokens, which stand at the front.
      row, offset: [B] int32, from `plan_packing`.
      capacity: P rows of W tokens.

    Returns:
      `ids`, `positions`, `segments` [P, W] int32 (segment 0 is empty), `slot` [B, T] int32, where in the P * W slots each
      token lies, and `mask` [B, T].
    """
    batch, steps = ids.shape
    slots = capacity.rows * capacity.width
    step = jnp.arange(steps, dtype=jnp.int32)[None, :]
    slot = (row * capacity.width + offset)[:, None] + step
    target = jnp.where(mask > 0, slot, slots).reshape(-1)  # padding is sent out of range, where a scatter drops it

    def scatter(values: Array) -> Array:
        flat = jnp.zeros((slots,), jnp.int32).at[target].set(values.reshape(-1), mode="drop")
        return flat.reshape(capacity.rows, capacity.width)

    return {
        "ids": scatter(ids),
        "positions": scatter(jnp.broadcast_to(step, ids.shape)),
        "segments": scatter(jnp.broadcast_to(jnp.arange(1, batch + 1, dtype=jnp.int32)[:, None], ids.shape)),
        "slot": jnp.where(mask > 0, slot, 0),
        "mask": mask,
    }
