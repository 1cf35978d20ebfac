"""How a batch of sequences is dealt into tiles, some rows times some steps each, and back.

G is the number of groups of rows, R of rows in each; C of chunks of steps, S of steps in each; T = G C of tiles, those of a
group side by side.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from msa_jax.layers.functional import keep_where, take
from msa_jax.layers.pooling import max_over_vmap

Array = jax.Array

CPU_TILE = (8, 48)  # rows and steps: large enough for the products, small enough for the cache
# Elsewhere a tile has all rows and nearly all steps, since many small programs would cost more than the padding: as many as
# leave so many attention weights of a head, within these bounds.
OTHER_WEIGHTS, OTHER_STEPS = 2**25, (128, 512)


class Tiles(NamedTuple):
    """How the rows of a batch are dealt into groups and their steps into chunks.

    row: [G R], the row in each place, longest first, or None for the order they have; places beyond the batch repeat row 0
    with length 0. place: [B], where each row went. lengths: [G, R]. key_chunks: [G], of how many chunks the keys are read, or
    None for all: elsewhere than on a CPU, where the host would wait for a number that is computed. tile: [T], the tiles to
    compute first. number: how many those are.
    """

    row: Array | None
    place: Array | None
    lengths: Array
    key_chunks: Array | None
    tile: Array
    number: Array | int

    @property
    def rounds(self) -> Array | int:
        """How many tiles a loop walks: all, a number that is known when a program is compiled, or those that it must."""
        return len(self.tile) if self.key_chunks is None else self.number

    @classmethod
    def of(cls, length: Array, steps: int, tile: tuple[int, int] | None, *, padding: bool) -> tuple["Tiles", int]:
        """For these lengths [B] of sequences of so many steps; padding: compute the tiles of padding too. Also gives S."""
        batch = len(length)
        rows, size = tile or _default_tile(batch)
        size = _chunk(steps, size)
        row = place = None
        groups = 1
        if batch > rows and steps > size:
            groups = -(-batch // rows)
            count = jnp.arange(batch, dtype=jnp.int32)
            shortest, row = jax.lax.sort((-length, count), num_keys=1)
            _, place = jax.lax.sort((row, count), num_keys=1)
            beyond = (0, -batch % groups)
            if any(beyond):
                shortest, row = jnp.pad(shortest, beyond), jnp.pad(row, beyond)
            length = -shortest
        return cls._chunked(row, place, length.reshape(groups, -1), steps, size, padding=padding), size

    def of_context(self, length: Array, steps: int, tile: tuple[int, int] | None) -> tuple["Tiles", int]:
        """For sequences of these lengths [B], at least 1, each read by the row of the same number. Also gives S'."""
        _, size = tile or _default_tile(len(length))
        size = _chunk(steps, size)
        if self.row is not None:
            length = keep_where(self.lengths.reshape(-1) > 0, take(length, self.row))
        return self._chunked(self.row, self.place, length.reshape(self.lengths.shape), steps, size, padding=False), size

    @classmethod
    def _chunked(
        cls, row: Array | None, place: Array | None, lengths: Array, steps: int, size: int, *, padding: bool
    ) -> "Tiles":
        groups, chunks, lengths = len(lengths), -(-steps // size), lengths.astype(jnp.int32)
        every = np.arange(groups * chunks, dtype=np.int32)
        if jax.default_backend() != "cpu":
            return cls(row, place, lengths, None, jnp.asarray(every), len(every))
        key_chunks = jax.lax.div(max_over_vmap(lengths.max(1)) + np.int32(size - 1), np.int32(size))
        if len(every) == 1 or padding:
            return cls(row, place, lengths, key_chunks, jnp.asarray(every), len(every))
        beyond = np.tile(np.arange(chunks, dtype=np.int32), groups) >= jnp.repeat(key_chunks, chunks)
        _, first = jax.lax.sort((beyond.astype(jnp.int32), jnp.asarray(every)), num_keys=1)
        return cls(row, place, lengths, key_chunks, first, key_chunks.sum())

    def split(self, x: Array, size: int) -> Array:
        """[B, L, D] -> [T, R, S, D], zeros behind the last step."""
        groups, rows = self.lengths.shape
        _, steps, width = x.shape
        chunks = -(-steps // size)
        x = x if self.row is None else _deal(x, self.row, self.place)
        x = jax.lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), (0, chunks * size - steps, 0), (0, 0, 0)))
        x = x.reshape(groups, rows, chunks, size, width).transpose(0, 2, 1, 3, 4)
        return x.reshape(groups * chunks, rows, size, width)

    def join(self, tiles: Array, steps: int) -> Array:
        """[T, R, S, D] -> [B, L, D], the rows in their own order."""
        groups, rows = self.lengths.shape
        _, _, size, width = tiles.shape
        x = tiles.reshape(groups, -1, rows, size, width).transpose(0, 2, 1, 3, 4)
        x = x.reshape(groups * rows, -1, width)[:, :steps]
        if self.place is None:
            return x
        # Nothing is read of places behind the batch; their own gradient would be that of row 0.
        return _deal(keep_where((self.lengths.reshape(-1) > 0)[:, None, None], x), self.place, self.row)


def _default_tile(rows: int) -> tuple[int, int]:
    """Rows and steps of a tile on this device, for a batch of so many rows."""
    if jax.default_backend() == "cpu":
        return CPU_TILE
    fewest, most = OTHER_STEPS
    return rows, min(max(math.isqrt(OTHER_WEIGHTS // max(rows, 1)), fewest), most)


def _chunk(steps: int, largest: int) -> int:
    """The size of chunks of nearly one size, none larger than that."""
    return -(-steps // max(-(-steps // largest), 1))


@jax.custom_vjp
def _deal(x: Array, to: Array, back: Array) -> Array:
    """x[to], whose gradient is that of x[back] and so no sum over rows."""
    return take(x, to)


_deal.defvjp(lambda x, to, back: (take(x, to), back), lambda back, pull: (take(pull, back), None, None))
