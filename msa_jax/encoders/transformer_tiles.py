"""One Transformer layer, computed in tiles: some rows times some steps. Its gradient is written by hand.

How it stays cheap. A batch of 64 sequences of 500 steps has half a gigabyte of attention weights in each layer, and most
of them belong to padding. So a layer is computed tile by tile, and attention reads the keys of one tile after the other
(Rabe and Staats 2021, Self-attention does not need O(n²) memory). On a CPU rows are sorted by length first, so that short ones
share their tiles, and tiles beyond the longest of their rows are never reached: the loops have as many rounds as there are
tiles with a step. Elsewhere a tile has all rows and as many steps as memory allows, mostly all, and every loop has a known
length: what counts there is how many kernels are launched. Tiles change no result, only what dropout draws.

The gradient is written in reverse mode and once, which lets the loops have such trip counts. Kept from the forward pass are
a layer's input, what attention read, and the logarithm of what its weights add up to; the backward pass computes a tile
again from these, attention weights included (Dao et al. 2022, FlashAttention).

A layer attends to its own sequence, or to a context: as many other sequences, of lengths of their own (Tsai et al. 2019,
cross-modal attention). The context's tiles have the rows of the queries' tiles, so that a group reads one group.

G is the number of groups of rows, R of rows in each; C of chunks of steps, S of steps in each; T = G C of tiles, those of a
group side by side. D is the width, H the number of heads, each d wide. T', C' and S' are those of the context, or the same.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from msa_jax.encoders.tiles import Tiles
from msa_jax.layers.dense import Affine, Norm
from msa_jax.layers.dropout import drop
from msa_jax.layers.functional import at, put_at

Array = jax.Array


class Context(NamedTuple):
    """What the keys and the values of a context are made of, [T', R, S', D] each (dropout may differ), and its tiles."""

    keys: Array
    values: Array
    tiles: Tiles


class Read(NamedTuple):
    """What a layer does before attention: a norm or None, and one linear map to queries, keys and values [D, 3D].

    A context goes through the same norm as the queries.
    """

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
    """What is fixed when a program is compiled.

    before: norms in front. rates: of dropout of the residual branches, of the feed-forward part and of attention weights,
    None for one that is traced; () without any. offset: step i reads step j only where j <= i + offset; None reads all.
    """

    heads: int
    before: bool
    activation: Callable[[Array], Array]
    rates: tuple[float | None, ...]
    offset: int | None = None


RESIDUAL, HIDDEN, ATTENTION = range(3)  # places in `LayerPlan.rates`


class Draws(NamedTuple):
    """What dropout draws from: the rates that are traced, and keys, derived all at once because each derivation is a kernel
    of its own: [T, 3 + C'] of a layer, [3 + C'] of a tile: three for attention's branch, the feed-forward part and its
    branch, and one for each chunk of keys."""

    keys: Array
    rates: tuple[Array | None, ...]

    def tile(self, tile: Array) -> "Draws":
        return self._replace(keys=at(self.keys, tile))

    def drop(self, plan: LayerPlan, which: Array | int, x: Array, kind: int) -> Array:
        """Dropout of x by the key of this number and the rate of this kind, one of RESIDUAL, HIDDEN, ATTENTION."""
        rate = plan.rates[kind]
        return drop(at(self.keys, which), x, self.rates[kind] if rate is None else rate)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def layer(
    plan: LayerPlan, read: Read, rest: Rest, x: Array, context: Context | None, tiles: Tiles, draws: Draws | None
) -> Array:
    """x [T, R, S, D] -> the same; zeros in tiles that are not computed, and what stands at padding has no meaning.

    context: what x attends to, if not itself.
    """
    return _forward(plan, read, rest, x, context, tiles, draws)[0]


def _project(plan: LayerPlan, read: Read, part: Array, columns: slice = slice(None)) -> Array:
    """A tile [R, S, D], and which columns of the linear map -> its queries, keys and values [n, R, H, S, d], n of the three."""
    rows, size, width = part.shape
    normed = part if read.norm is None else read.norm(part)
    mapped = Affine(read.project.kernel[:, columns], read.project.bias[columns])(normed)
    return mapped.reshape(rows, size, -1, plan.heads, width // plan.heads).transpose(2, 0, 3, 1, 4)


def _project_own(plan: LayerPlan, read: Read, part: Array) -> tuple[Array, Array]:
    """A tile [R, S, D] -> its queries [R, H, S, d], and its keys and values [2, R, H, S, d]."""
    queries, *pair = _project(plan, read, part)
    return queries, jnp.stack(pair)


def _project_queries(plan: LayerPlan, read: Read, part: Array) -> Array:
    """A tile [R, S, D] -> its queries [R, H, S, d]."""
    return _project(plan, read, part, slice(part.shape[-1]))[0]


def _project_context(plan: LayerPlan, read: Read, keys: Array, values: Array) -> Array:
    """Of a tile of the context, what keys and what values are made of, [R, S', D] each -> both [2, R, H, S', d]."""
    width = keys.shape[-1]
    of_keys = _project(plan, read, keys, slice(width, 2 * width))
    return jnp.concatenate([of_keys, _project(plan, read, values, slice(2 * width, None))])


def _project_all(plan: LayerPlan, read: Read, x: Array, context: Context | None, tiles: Tiles) -> tuple[Array, Array]:
    """The queries [T, R, H, S, d] of all tiles, and the keys and values [T', 2, R, H, S', d] that they read."""
    count, rows, size, width = x.shape
    queries = jnp.zeros((count, rows, plan.heads, size, width // plan.heads), x.dtype)
    if context is None:
        pairs = jnp.zeros((count, 2, *queries.shape[1:]), x.dtype)
        return _fill(tiles, (queries, pairs), lambda tile: _project_own(plan, read, at(x, tile)))
    count, _, size, _ = context.keys.shape
    pairs = jnp.zeros((count, 2, rows, plan.heads, size, width // plan.heads), x.dtype)
    return (
        _fill(tiles, queries, lambda tile: _project_queries(plan, read, at(x, tile))),
        _fill(
            context.tiles,
            pairs,
            lambda tile: _project_context(plan, read, at(context.keys, tile), at(context.values, tile)),
        ),
    )


def _fill(tiles: Tiles, nothing: Any, compute: Callable[[Array], Any]) -> Any:
    """Arrays [T, ...] with what `compute` gives for each tile that is computed, and `nothing` elsewhere."""

    def step(number: Array, filled: Any) -> Any:
        tile = at(tiles.tile, number)
        return jax.tree.map(lambda every, part: put_at(every, tile, part), filled, compute(tile))

    return jax.lax.fori_loop(0, tiles.rounds, step, nothing)


def _finish(plan: LayerPlan, rest: Rest, part: Array, mixed: Array, draws: Draws | None) -> Array:
    """A tile [R, S, D] and what it read [R, H, S, d] -> [R, S, D]."""

    def dropped(which: int, x: Array, kind: int = RESIDUAL) -> Array:
        return x if draws is None else draws.drop(plan, which, x, kind)

    part = part + dropped(0, rest.output(mixed.transpose(0, 2, 1, 3).reshape(part.shape)))
    if rest.norm_after is not None:
        part = rest.norm_after(part)
    hidden = plan.activation(rest.expand(rest.norm(part) if plan.before else part))
    part = part + dropped(2, rest.contract(dropped(1, hidden, HIDDEN)))
    return part if plan.before else rest.norm(part)


class _Keys(NamedTuple):
    """The keys that a tile's queries read, chunk by chunk.

    pairs: [T', 2, R, H, S', d]. first: the tile of the first chunk. count: of chunks. length: [R], of the keys. begin: the
    step of the tile's first query.
    """

    plan: LayerPlan
    pairs: Array
    first: Array
    count: Array | int
    length: Array
    begin: Array
    draws: Draws | None

    @classmethod
    def of(
        cls, plan: LayerPlan, pairs: Array, queries: Array, source: Tiles, tile: Array, draws: Draws | None
    ) -> "_Keys":
        """Those of the tile of this number; queries: of all tiles. source: the tiles of the keys."""
        groups, size = len(source.lengths), queries.shape[-2]
        chunks, query_chunks = len(pairs) // groups, np.int32(len(queries) // groups)
        group = jax.lax.div(tile, query_chunks)
        known = chunks == 1 or source.key_chunks is None
        count = chunks if known else at(source.key_chunks, group)
        begin = (tile - group * query_chunks) * np.int32(size)
        return cls(plan, pairs, group * np.int32(chunks), count, at(source.lengths, group), begin, draws)

    def shares(self, query: Array, number: Array) -> tuple[Array, Array, Array, Callable[[Array], Array]]:
        """Query [R, H, Q, d], scaled, and the number of a chunk -> its keys and values [R, H, S', d]; scores [R, H, Q, S']
        float32; and dropout of weights of that shape."""
        keys, values = at(self.pairs, self.first + number)
        size = keys.shape[-2]
        step = number * size + np.arange(size, dtype=np.int32)
        visible = (step[None, :] < self.length[:, None])[:, None, None, :]
        if self.plan.offset is not None:
            asking = self.begin + np.arange(query.shape[-2], dtype=np.int32)
            visible &= (step[None, :] <= asking[:, None] + np.int32(self.plan.offset))[None, None]
        scores = jnp.einsum("rhqd,rhkd->rhqk", query, keys, preferred_element_type=jnp.float32)
        lowest = jnp.full_like(scores, jnp.finfo(jnp.float32).min)  # finite even where nothing is visible
        scores = jax.lax.select(jnp.broadcast_to(visible, scores.shape), scores, lowest)

        def dropped(weights: Array) -> Array:
            if self.draws is None:
                return weights
            return weights * self.draws.drop(self.plan, number + 3, jnp.ones_like(weights), ATTENTION)

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


def _forward(
    plan: LayerPlan, read: Read, rest: Rest, x: Array, context: Context | None, tiles: Tiles, draws: Draws | None
) -> tuple[Array, Any]:
    queries, pairs = _project_all(plan, read, x, context, tiles)
    source = tiles if context is None else context.tiles
    scale = np.asarray(queries.shape[-1] ** -0.5, x.dtype)

    def compute(tile: Array) -> tuple[Array, Array, Array]:
        own = None if draws is None else draws.tile(tile)
        found = _attend(at(queries, tile) * scale, _Keys.of(plan, pairs, queries, source, tile, own))
        return _finish(plan, rest, at(x, tile), found[0], own), *found

    nothing = jnp.zeros_like(x), jnp.zeros_like(queries), jnp.zeros(queries[..., :1].shape, jnp.float32)
    out, mixed, total = _fill(tiles, nothing, compute)
    return out, (read, rest, x, context, tiles, draws, mixed, total)


def _backward(plan: LayerPlan, saved: Any, pull: Array) -> tuple[Read, Rest, Array, Context | None, None, None]:
    read, rest, x, context, tiles, draws, mixed, total = saved
    queries, pairs = _project_all(plan, read, x, context, tiles)
    source = tiles if context is None else context.tiles
    scale = np.asarray(queries.shape[-1] ** -0.5, x.dtype)

    def step(number: Array, carry: tuple[Array, Array, Array, Rest]) -> tuple[Array, Array, Array, Rest]:
        d_x, d_queries, d_pairs, d_rest = carry
        tile = at(tiles.tile, number)
        own = None if draws is None else draws.tile(tile)
        found = at(mixed, tile)
        finish = jax.vjp(lambda *given: _finish(plan, *given, own), rest, at(x, tile), found)[1]
        of_rest, of_x, of_found = finish(at(pull, tile))
        keys = _Keys.of(plan, pairs, queries, source, tile, own)
        query, logarithm = at(queries, tile) * scale, at(total, tile)
        # Of all weights, what their common divisor takes back.
        common = (of_found.astype(jnp.float32) * found.astype(jnp.float32)).sum(-1, keepdims=True)

        def chunk(number: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
            d_query, d_pairs = carry
            key, value, scores, dropped = keys.shares(query, number)
            weights = jnp.exp(scores - logarithm)
            of_weights = jnp.einsum("rhqd,rhkd->rhqk", of_found, value, preferred_element_type=jnp.float32)
            of_scores = (weights * (dropped(of_weights) - common)).astype(key.dtype)
            of_key = jnp.einsum("rhqk,rhqd->rhkd", of_scores, query)
            of_value = jnp.einsum("rhqk,rhqd->rhkd", dropped(weights).astype(value.dtype), of_found)
            place = keys.first + number
            so_far = at(d_pairs, place) + jnp.stack([of_key, of_value])
            return d_query + jnp.einsum("rhqk,rhkd->rhqd", of_scores, key), put_at(d_pairs, place, so_far)

        d_query, d_pairs = jax.lax.fori_loop(0, keys.count, chunk, (jnp.zeros_like(query), d_pairs))
        return put_at(d_x, tile, of_x), put_at(d_queries, tile, d_query * scale), d_pairs, _add(d_rest, of_rest)

    carry = jnp.zeros_like(x), jnp.zeros_like(queries), jnp.zeros_like(pairs), _sums(rest)
    d_x, d_queries, d_pairs, d_rest = jax.lax.fori_loop(0, tiles.rounds, step, carry)
    if context is None:
        d_read, (d_x,) = _pull(
            tiles, partial(_project_own, plan), read, _sums(read), (x,), (d_x,), (d_queries, d_pairs)
        )
        d_context = None
    else:
        d_read, (d_x,) = _pull(tiles, partial(_project_queries, plan), read, _sums(read), (x,), (d_x,), d_queries)
        made_of = context.keys, context.values
        nothing = jax.tree.map(jnp.zeros_like, made_of)
        d_read, of_context = _pull(
            context.tiles, partial(_project_context, plan), read, d_read, made_of, nothing, d_pairs
        )
        d_context = Context(*of_context, cast(Any, None))  # tiles are whole numbers
    d_read, d_rest = jax.tree.map(lambda total, like: total.astype(like.dtype), (d_read, d_rest), (read, rest))
    return d_read, d_rest, d_x, d_context, None, None


def _pull(
    tiles: Tiles, project: Callable[..., Any], read: Read, d_read: Read, given: Any, d_given: Any, pulls: Any
) -> tuple[Read, Any]:
    """The gradient of a projection of all tiles, added to `d_read` and `d_given`; given: arrays [T, ...], pulls: of what it
    gives, [T, ...]."""

    def step(number: Array, carry: tuple[Read, Any]) -> tuple[Read, Any]:
        d_read, d_given = carry
        tile = at(tiles.tile, number)
        parts, before, pull = jax.tree.map(lambda every: at(every, tile), (given, d_given, pulls))
        of_read, *of_parts = jax.vjp(project, read, *parts)[1](pull)
        after = (put_at(every, tile, one + of) for every, one, of in zip(d_given, before, of_parts, strict=True))
        return _add(d_read, of_read), tuple(after)

    return jax.lax.fori_loop(0, tiles.rounds, step, (d_read, d_given))


def _sums(weights: Any) -> Any:
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.float32), weights)


def _add(total: Any, part: Any) -> Any:
    return jax.tree.map(lambda total, part: total + part.astype(jnp.float32), total, part)


layer.defvjp(_forward, _backward)
