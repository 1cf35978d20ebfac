"""One Transformer layer, computed in tiles: some rows times some steps. Its gradient is written by hand.

How it stays cheap. A batch of 64 sequences of 500 steps has half a gigabyte of attention weights in each layer, and most
of them belong to padding. So a layer is computed tile by tile, and attention reads the keys of one tile after the other
(Rabe and Staats 2021, Self-attention does not need O(n²) memory). Tiles beyond the longest of their rows are never reached:
the loops have as many rounds as there are tiles with a step. On a CPU rows are sorted by length first, so that short ones
share their tiles; elsewhere a tile has all rows. Tiles change no result, only what dropout draws.

The gradient is written in reverse mode and once, which lets the loops have such trip counts. Kept from the forward pass are
a layer's input, what attention read, and the logarithm of what its weights add up to; the backward pass computes a tile
again from these, attention weights included (Dao et al. 2022, FlashAttention).

G is the number of groups of rows, R of rows in each; C of chunks of steps, S of steps in each; T = G C of tiles, those of a
group side by side. D is the width, H the number of heads, each d wide.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from msa_jax.layers.dense import Affine, Norm
from msa_jax.layers.dropout import drop
from msa_jax.layers.functional import at, keep_where, put_at, take
from msa_jax.layers.pooling import max_over_vmap

Array = jax.Array

CPU_TILE = (8, 48)  # rows and steps: large enough for the products, small enough for the cache
OTHER_TILE = (1 << 30, 128)  # all rows: many small programs would cost more than the padding


class Tiles(NamedTuple):
    """How the rows of a batch are dealt into groups and their steps into chunks.

    row: [G R], the row in each place, longest first, or None for the order they have; places beyond the batch repeat row 0
    with length 0. place: [B], where each row went. lengths: [G, R]. key_chunks: [G], of how many chunks the keys are read.
    tile: [T], the tiles to compute first. number: how many those are.
    """

    row: Array | None
    place: Array | None
    lengths: Array
    key_chunks: Array
    tile: Array
    number: Array | int

    @classmethod
    def of(cls, length: Array, steps: int, tile: tuple[int, int] | None, *, padding: bool) -> tuple["Tiles", int]:
        """For these lengths [B] of sequences of so many steps; padding: compute the tiles of padding too. Also gives S."""
        rows, size = tile or (CPU_TILE if jax.default_backend() == "cpu" else OTHER_TILE)
        batch = len(length)
        size = -(-steps // max(-(-steps // size), 1))  # chunks of nearly one size
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
        lengths = length.reshape(groups, -1)
        chunks = -(-steps // size)
        key_chunks = jax.lax.div(max_over_vmap(lengths.max(1)) + np.int32(size - 1), np.int32(size))
        every = np.arange(groups * chunks, dtype=np.int32)
        if len(every) == 1 or padding:
            return cls(row, place, lengths, key_chunks, jnp.asarray(every), len(every)), size
        beyond = np.tile(np.arange(chunks, dtype=np.int32), groups) >= jnp.repeat(key_chunks, chunks)
        _, first = jax.lax.sort((beyond.astype(jnp.int32), jnp.asarray(every)), num_keys=1)
        return cls(row, place, lengths, key_chunks, first, key_chunks.sum()), size

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


@jax.custom_vjp
def _deal(x: Array, to: Array, back: Array) -> Array:
    """x[to], whose gradient is that of x[back] and so no sum over rows."""
    return take(x, to)


_deal.defvjp(lambda x, to, back: (take(x, to), back), lambda back, pull: (take(pull, back), None, None))


class Read(NamedTuple):
    """What a layer does before attention: a norm or None, and one linear map to queries, keys and values [D, 3D]."""

    norm: Norm | None
    project: Affine


class Rest(NamedTuple):
    """What a layer does with what attention read. The norms before its two parts, or after: one of the first two is None."""

    output: Affine
    norm_after: Norm | None
    norm: Norm
    expand: Affine
    contract: Affine


class LayerPlan(NamedTuple):
    """What is fixed when a program is compiled. before: norms in front. rates: of dropout and of attention dropout, None
    for one that is traced; () without any."""

    heads: int
    before: bool
    activation: Callable[[Array], Array]
    rates: tuple[float | None, ...]


class Draws(NamedTuple):
    """What dropout draws from: the rates that are traced, and keys, derived all at once because each derivation is a kernel
    of its own: [T, 3 + C] of a layer, [3 + C] of a tile, three for its residual branches and one for each chunk of keys."""

    keys: Array
    rates: tuple[Array | None, ...]

    def tile(self, tile: Array) -> "Draws":
        return self._replace(keys=at(self.keys, tile))

    def drop(self, plan: LayerPlan, which: Array | int, x: Array, *, attention: bool = False) -> Array:
        rate = plan.rates[attention]
        return drop(at(self.keys, which), x, self.rates[attention] if rate is None else rate)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def layer(plan: LayerPlan, read: Read, rest: Rest, x: Array, tiles: Tiles, draws: Draws | None) -> Array:
    """x [T, R, S, D] -> the same; zeros in tiles that are not computed, and what stands at padding has no meaning."""
    return _forward(plan, read, rest, x, tiles, draws)[0]


def _project(plan: LayerPlan, read: Read, part: Array) -> Array:
    """A tile [R, S, D] -> its queries, keys and values [3, R, H, S, d]."""
    rows, size, _ = part.shape
    normed = part if read.norm is None else read.norm(part)
    return read.project(normed).reshape(rows, size, 3, plan.heads, -1).transpose(2, 0, 3, 1, 4)


def _finish(plan: LayerPlan, rest: Rest, part: Array, mixed: Array, draws: Draws | None) -> Array:
    """A tile [R, S, D] and what it read [R, H, S, d] -> [R, S, D]."""

    def dropped(which: int, x: Array) -> Array:
        return x if draws is None else draws.drop(plan, which, x)

    part = part + dropped(0, rest.output(mixed.transpose(0, 2, 1, 3).reshape(part.shape)))
    if rest.norm_after is not None:
        part = rest.norm_after(part)
    hidden = plan.activation(rest.expand(rest.norm(part) if plan.before else part))
    part = part + dropped(2, rest.contract(dropped(1, hidden)))
    return part if plan.before else rest.norm(part)


def _project_all(plan: LayerPlan, read: Read, x: Array, tiles: Tiles) -> Array:
    """[T, R, S, D] -> [T, 3, R, H, S, d]."""
    count, rows, size, width = x.shape

    def step(number: Array, projected: Array) -> Array:
        tile = at(tiles.tile, number)
        return put_at(projected, tile, _project(plan, read, at(x, tile)))

    nothing = jnp.zeros((count, 3, rows, plan.heads, size, width // plan.heads), x.dtype)
    return jax.lax.fori_loop(0, tiles.number, step, nothing)


class _Keys(NamedTuple):
    """The keys that a tile's queries read, chunk by chunk.

    projected: [T, 3, R, H, S, d]. first: the tile of the first chunk. count: of chunks. length: [R].
    """

    plan: LayerPlan
    projected: Array
    first: Array
    count: Array | int
    length: Array
    draws: Draws | None

    @classmethod
    def of(cls, plan: LayerPlan, projected: Array, tiles: Tiles, tile: Array, draws: Draws | None) -> "_Keys":
        chunks = len(projected) // len(tiles.lengths)
        group = jax.lax.div(tile, np.int32(chunks))
        count = 1 if chunks == 1 else at(tiles.key_chunks, group)
        return cls(plan, projected, group * np.int32(chunks), count, at(tiles.lengths, group), draws)

    def shares(self, query: Array, number: Array) -> tuple[Array, Array, Array, Callable[[Array], Array]]:
        """Query [R, H, Q, d], scaled, and the number of a chunk -> its keys and values [R, H, S, d]; scores [R, H, Q, S]
        float32; and dropout of weights of that shape."""
        _, keys, values = at(self.projected, self.first + number)
        size = keys.shape[-2]
        step = number * size + np.arange(size, dtype=np.int32)
        visible = (step[None, :] < self.length[:, None])[:, None, None, :]
        scores = jnp.einsum("rhqd,rhkd->rhqk", query, keys, preferred_element_type=jnp.float32)
        lowest = jnp.full_like(scores, jnp.finfo(jnp.float32).min)  # finite even where nothing is visible
        scores = jax.lax.select(jnp.broadcast_to(visible, scores.shape), scores, lowest)

        def dropped(weights: Array) -> Array:
            if self.draws is None:
                return weights
            return weights * self.draws.drop(self.plan, number + 3, jnp.ones_like(weights), attention=True)

        return keys, values, scores, dropped


def _attend(query: Array, keys: _Keys) -> tuple[Array, Array]:
    """Query [R, H, Q, d], scaled -> what it reads, [R, H, Q, d], and the logarithm of the sum of its unnormalised weights
    [R, H, Q, 1] float32."""

    def step(number: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        top, total, mixed = carry
        _, values, scores, dropped = keys.shares(query, number)
        higher = jnp.maximum(top, scores.max(-1, keepdims=True))
        shrink, shares = jnp.exp(top - higher), jnp.exp(scores - higher)
        found = jnp.einsum("rhqk,rhkd->rhqd", dropped(shares).astype(values.dtype), values)
        return higher, total * shrink + shares.sum(-1, keepdims=True), mixed * shrink + found

    nothing = jnp.zeros(query.shape, jnp.float32)
    carry = nothing[..., :1] + jnp.finfo(jnp.float32).min, nothing[..., :1], nothing
    top, total, mixed = jax.lax.fori_loop(0, keys.count, step, carry)
    return (mixed / total).astype(query.dtype), top + jnp.log(total)


def _forward(plan: LayerPlan, read: Read, rest: Rest, x: Array, tiles: Tiles, draws: Draws | None) -> tuple[Array, Any]:
    projected = _project_all(plan, read, x, tiles)
    scale = np.asarray(projected.shape[-1] ** -0.5, x.dtype)

    def step(number: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        out, mixed, total = carry
        tile = at(tiles.tile, number)
        own = None if draws is None else draws.tile(tile)
        found = _attend(at(projected, tile)[0] * scale, _Keys.of(plan, projected, tiles, tile, own))
        done = _finish(plan, rest, at(x, tile), found[0], own)
        return put_at(out, tile, done), put_at(mixed, tile, found[0]), put_at(total, tile, found[1])

    mixed = jnp.zeros_like(projected[:, 0])
    carry = jnp.zeros_like(x), mixed, jnp.zeros(mixed[..., :1].shape, jnp.float32)
    out, mixed, total = jax.lax.fori_loop(0, tiles.number, step, carry)
    return out, (read, rest, x, tiles, draws, mixed, total)


def _backward(plan: LayerPlan, saved: Any, pull: Array) -> tuple[Read, Rest, Array, None, None]:
    read, rest, x, tiles, draws, mixed, total = saved
    projected = _project_all(plan, read, x, tiles)
    scale = np.asarray(projected.shape[-1] ** -0.5, x.dtype)

    def step(number: Array, carry: tuple[Array, Array, Rest]) -> tuple[Array, Array, Rest]:
        d_x, d_projected, d_rest = carry
        tile = at(tiles.tile, number)
        own = None if draws is None else draws.tile(tile)
        found = at(mixed, tile)
        finish = jax.vjp(lambda *given: _finish(plan, *given, own), rest, at(x, tile), found)[1]
        of_rest, of_x, of_found = finish(at(pull, tile))
        keys = _Keys.of(plan, projected, tiles, tile, own)
        query, logarithm = at(projected, tile)[0] * scale, at(total, tile)
        # Of all weights, what their common divisor takes back.
        common = (of_found.astype(jnp.float32) * found.astype(jnp.float32)).sum(-1, keepdims=True)

        def chunk(number: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
            d_query, d_projected = carry
            key, value, scores, dropped = keys.shares(query, number)
            weights = jnp.exp(scores - logarithm)
            of_weights = jnp.einsum("rhqd,rhkd->rhqk", of_found, value, preferred_element_type=jnp.float32)
            of_scores = (weights * (dropped(of_weights) - common)).astype(key.dtype)
            of_key = jnp.einsum("rhqk,rhqd->rhkd", of_scores, query)
            of_value = jnp.einsum("rhqk,rhqd->rhkd", dropped(weights).astype(value.dtype), of_found)
            place = keys.first + number
            before = at(d_projected, place)
            so_far = jnp.stack([before[0], before[1] + of_key, before[2] + of_value])
            return d_query + jnp.einsum("rhqk,rhkd->rhqd", of_scores, key), put_at(d_projected, place, so_far)

        d_query, d_projected = jax.lax.fori_loop(0, keys.count, chunk, (jnp.zeros_like(query), d_projected))
        before = at(d_projected, tile)
        so_far = jnp.stack([d_query * scale, before[1], before[2]])
        return put_at(d_x, tile, of_x), put_at(d_projected, tile, so_far), _add(d_rest, of_rest)

    carry = jnp.zeros_like(x), jnp.zeros_like(projected), _sums(rest)
    d_x, d_projected, d_rest = jax.lax.fori_loop(0, tiles.number, step, carry)

    def project(number: Array, carry: tuple[Array, Read]) -> tuple[Array, Read]:
        d_x, d_read = carry
        tile = at(tiles.tile, number)
        of_read, of_x = jax.vjp(partial(_project, plan), read, at(x, tile))[1](at(d_projected, tile))
        return put_at(d_x, tile, at(d_x, tile) + of_x), _add(d_read, of_read)

    d_x, d_read = jax.lax.fori_loop(0, tiles.number, project, (d_x, _sums(read)))
    d_read, d_rest = jax.tree.map(lambda total, like: total.astype(like.dtype), (d_read, d_rest), (read, rest))
    return d_read, d_rest, d_x, None, None


def _sums(weights: Any) -> Any:
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.float32), weights)


def _add(total: Any, part: Any) -> Any:
    return jax.tree.map(lambda total, part: total + part.astype(jnp.float32), total, part)


layer.defvjp(_forward, _backward)
