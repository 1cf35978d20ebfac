"""A Transformer encoder over sequences of different lengths.

Vaswani et al. 2017, Attention is all you need, with the norms in front (Xiong et al. 2020): each layer is attention and a
feed-forward part, both on a normalised input and with a residual connection around; a last norm ends the stack.

How it stays cheap. A batch of 64 sequences of 500 steps has half a gigabyte of attention weights in each layer, and most
of them belong to padding. So a layer is computed in tiles, some rows times some steps, and attention reads the keys of one
tile after the other. Tiles beyond the longest of their rows are skipped, and the backward pass computes a tile again
instead of keeping its attention weights. On a CPU rows are sorted by length first, so that short ones share their tiles;
elsewhere a tile has all rows. Tiles change no result, only what dropout draws. Sequences that fit into one tile are
computed at once.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from msa_jax.errors import InputError
from msa_jax.layers.dense import Affine, Norm, uniform
from msa_jax.layers.dropout import Dropout, drop
from msa_jax.layers.pooling import max_over_vmap, valid_steps

Array = jax.Array

CPU_TILE = (8, 48)  # rows and steps: large enough for the products, small enough for the cache
OTHER_TILE = (1 << 30, 128)  # all rows: many small programs would cost more than the padding


def sinusoidal_positions(steps: int, width: int) -> np.ndarray:
    """Sines and cosines of each position, 0-based (Vaswani et al. 2017, section 3.5).

    Args:
      steps: L.
      width: D, any; an odd one ends with a sine.

    Returns:
      [L, D] float32: column 2i is sin(position / 10000^(2i/D)), column 2i + 1 the cosine of the same angle.
    """
    column = np.arange(width)
    angle = np.arange(steps)[:, None] / 10000.0 ** (2 * (column // 2) / width)[None, :]
    return np.where(column[None, :] % 2 == 0, np.sin(angle), np.cos(angle)).astype(np.float32)


class _AffineParams(nn.Module):
    """The parameters of a linear layer, not yet applied: tiles are walked outside of Flax."""

    shape: tuple[int, int]
    bound: float
    bias_bound: float
    dtype: jnp.dtype

    @nn.compact
    def __call__(self) -> Affine:
        kernel = self.param("kernel", uniform(self.bound), self.shape)
        bias = self.param("bias", uniform(self.bias_bound), self.shape[1:])
        return Affine(kernel.astype(self.dtype), bias.astype(self.dtype))


class _NormParams(nn.Module):
    """The parameters of a LayerNorm, not yet applied."""

    width: int

    @nn.compact
    def __call__(self) -> Norm:
        ones, zeros = nn.initializers.ones, nn.initializers.zeros
        return Norm(self.param("scale", ones, (self.width,)), self.param("bias", zeros, (self.width,)))


class _Weights(NamedTuple):
    """One layer's parameters."""

    attention_norm: Norm
    query: Affine
    key: Affine
    value: Affine
    output: Affine
    feedforward_norm: Norm
    expand: Affine
    contract: Affine


class _Layer(nn.Module):
    """Makes the parameters of a layer, as torch.nn.TransformerEncoderLayer starts them."""

    width: int
    feedforward: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self) -> _Weights:
        width, wide = self.width, self.feedforward
        # Torch keeps the three projections in one matrix, so their scale is Glorot's for its shape; biases start at 0.
        together = (6 / (width + 3 * width)) ** 0.5

        def affine(name: str, into: int, out: int, bound: float, bias: float) -> Affine:
            return _AffineParams((into, out), bound, bias, self.dtype, name=name)()

        return _Weights(
            attention_norm=_NormParams(width, name="attention_norm")(),
            query=affine("query", width, width, together, 0.0),
            key=affine("key", width, width, together, 0.0),
            value=affine("value", width, width, together, 0.0),
            output=affine("output", width, width, width**-0.5, 0.0),
            feedforward_norm=_NormParams(width, name="feedforward_norm")(),
            expand=affine("expand", width, wide, width**-0.5, width**-0.5),
            contract=affine("contract", wide, width, wide**-0.5, wide**-0.5),
        )


class Transformer(nn.Module):
    """A stack of encoder layers with a key padding mask, by default with the norms in front and sinusoidal positions.

    A step attends to the valid steps of its own sequence alone. Positions have an amplitude of 1, so x should be of that
    order. In training dropout draws from the "dropout" random collection.

    layers: how many. heads: H, a divisor of D. feedforward: hidden units between a layer's two linear maps.
    dropout: rate at the input, in the feed-forward part and at the end of each residual branch. attention_dropout: of the
    attention weights. tile: rows and steps of a tile, by default what suits the device.
    norms: "before" each part of a layer, or "after" its residual sum, as in torch.nn.TransformerEncoder. final_norm: one more
    follows the stack. activation: between the two linear maps. positions: add sinusoidal ones. keep_padding: compute the states
    of padding too; what attends still sees valid steps alone.

    Parameters: `layer_0` to `layer_{layers - 1}` with `query`, `key`, `value`, `output`, `expand`, `contract` (kernel,
    bias) and `attention_norm`, `feedforward_norm` (scale, bias); `norm` with `final_norm`.

    Raises:
      InputError: a width that the heads do not divide.
    """

    layers: int = 3
    heads: int = 8
    feedforward: int = 512
    dropout: float | Array = 0.1
    attention_dropout: float | Array = 0.1
    dtype: jnp.dtype = jnp.float32
    tile: tuple[int, int] | None = None
    norms: Literal["before", "after"] = "before"
    activation: Literal["relu", "gelu"] = "relu"
    positions: bool = True
    keep_padding: bool = False
    final_norm: bool = True

    @nn.compact
    def __call__(self, x: Array, length: Array, *, train: bool) -> Array:
        """[B, L, D], [B] int32 in [0, L] -> [B, L, D]; zeros at padding unless kept, for which lengths are at least 1."""
        _, steps, width = x.shape
        if width % self.heads:
            raise InputError(f"a Transformer of width {width} cannot have {self.heads} heads; expected a divisor of it")
        length = jnp.asarray(length)
        valid = valid_steps(length, steps) | self.keep_padding  # [B, L, 1]
        x = jnp.where(valid, x.astype(self.dtype), 0.0)  # whatever stands at padding
        if self.positions:
            x = x + jnp.asarray(sinusoidal_positions(steps, width), self.dtype)[None]
        x = Dropout(self.dropout)(x, deterministic=not train)
        rates = self.dropout, self.attention_dropout
        random = train and not all(isinstance(rate, int | float) and rate == 0 for rate in rates)
        key = self.make_rng("dropout") if random else None
        layers = [_Layer(width, self.feedforward, self.dtype, name=f"layer_{n}")() for n in range(self.layers)]

        tiles = _Tiles.of(length, steps, self.tile)
        parts = tiles.split(x)  # [G, C, R, S, D]

        def group(number: Array, part: Array, length: Array) -> Array:
            for depth, weights in enumerate(layers):
                seed = None if key is None else jax.random.fold_in(jax.random.fold_in(key, depth), number)
                part = self._layer(weights, part, length, seed)
            return part

        if len(parts) == 1:
            parts = group(jnp.int32(0), parts[0], tiles.lengths[0])[None]
        else:
            each = jnp.arange(len(parts)), parts, tiles.lengths
            parts = jax.lax.scan(lambda _, group_of: (None, group(*group_of)), None, each)[1]
        x = tiles.join(parts, steps)
        if self.final_norm:
            x = _NormParams(width, name="norm")()(x)
        return jnp.where(valid, x, 0.0)

    def _layer(self, weights: _Weights, x: Array, length: Array, key: Array | None) -> Array:
        """One layer of one group of rows: x [C, R, S, D], length [R] -> [C, R, S, D]."""
        chunks, rows, size, width = x.shape
        longest = jnp.int32(chunks * size) if self.keep_padding else max_over_vmap(length.max())
        scale = (width // self.heads) ** -0.5
        activate = nn.relu if self.activation == "relu" else partial(nn.gelu, approximate=False)

        def before(x: Array, norm: Norm) -> Array:
            return norm(x) if self.norms == "before" else x

        def after(x: Array, norm: Norm) -> Array:
            return norm(x) if self.norms == "after" else x

        def split(projected: Array) -> Array:
            return projected.reshape(rows, size, self.heads, -1).transpose(0, 2, 1, 3)  # [R, H, S, d]

        def project(number: Array, part: Array, weights: _Weights) -> Array:
            normed = before(part, weights.attention_norm)
            return jnp.concatenate([split(of(normed)) for of in (weights.key, weights.value)], -1)

        def attend(number: Array, part: Array, fixed: tuple[_Weights, Array, Array]) -> Array:
            weights, context, length = fixed
            seeds = None if key is None else jax.random.split(jax.random.fold_in(key, number), 4)

            def dropped(which: int, x: Array, rate: float | Array) -> Array:
                return x if seeds is None else drop(seeds[which], x, rate)

            def drop_shares(chunk: Array, shares: Array) -> Array:
                if seeds is None:
                    return shares
                return drop(jax.random.fold_in(seeds[0], chunk), shares, self.attention_dropout)

            query = split(weights.query(before(part, weights.attention_norm))) * scale
            mixed = _attention(query, context, length, drop_shares).transpose(0, 2, 1, 3).reshape(part.shape)
            part = after(part + dropped(1, weights.output(mixed), self.dropout), weights.attention_norm)
            hidden = activate(weights.expand(before(part, weights.feedforward_norm)))
            hidden = weights.contract(dropped(2, hidden, self.dropout))
            return after(part + dropped(3, hidden, self.dropout), weights.feedforward_norm)

        context = _over_chunks(project, x, longest, weights)  # [C, R, H, S, 2 d]
        return _over_chunks(attend, x, longest, (weights, context, length))


def _attention(query: Array, context: Array, length: Array, drop_shares: Callable[[Array, Array], Array]) -> Array:
    """Softmax attention, one chunk of keys after the other (Rabe and Staats 2021, Self-attention does not need O(n^2)
    memory): query [R, H, Q, d], context [C, R, H, S, 2 d], length [R] -> [R, H, Q, d]."""
    chunks, _, _, size, _ = context.shape
    longest, lowest = max_over_vmap(length.max()), jnp.finfo(jnp.float32).min

    def read(carry: tuple[Array, Array, Array], number: Array, chunk: Array) -> tuple[Array, Array, Array]:
        top, total, mixed = carry
        keys, values = jnp.split(chunk, 2, axis=-1)
        visible = (number * size + jnp.arange(size)[None, :] < length[:, None])[:, None, None, :]  # [R, 1, 1, S]
        scores = jnp.einsum("rhqd,rhkd->rhqk", query, keys, preferred_element_type=jnp.float32)
        scores = jnp.where(visible, scores, lowest)  # finite even where nothing is visible
        # Any shift gives the same shares, so none of its gradient counts.
        higher = jnp.maximum(top, jax.lax.stop_gradient(scores).max(-1, keepdims=True))
        shrink, shares = jnp.exp(top - higher), jnp.exp(scores - higher)
        read = jnp.einsum("rhqk,rhkd->rhqd", drop_shares(number, shares).astype(values.dtype), values)
        return higher, total * shrink + shares.sum(-1, keepdims=True), mixed * shrink + read

    nothing = jnp.zeros(query.shape, jnp.float32)
    carry = nothing[..., :1] + lowest, nothing[..., :1], nothing
    if chunks == 1:
        carry = read(carry, jnp.int32(0), context[0])
    else:

        def step(carry: Any, chunk: tuple[Array, Array]) -> tuple[Any, None]:
            return jax.lax.cond(chunk[0] * size < longest, read, lambda carry, *_: carry, carry, *chunk), None

        carry = jax.lax.scan(step, carry, (jnp.arange(chunks), context))[0]
    _, total, mixed = carry
    return (mixed / total).astype(query.dtype)


def _over_chunks(function: Callable[..., Array], x: Array, longest: Array, fixed: Any) -> Array:
    """`function(number, chunk [R, S, D], fixed)` of every chunk of x [C, R, S, D] that begins before `longest`; the
    results of the others are 0."""
    chunks, _, size, _ = x.shape
    if chunks == 1:
        return function(jnp.int32(0), x[0], fixed)[None]
    shape = jax.eval_shape(function, jnp.int32(0), x[0], fixed)

    # The checkpoint is around the condition: what it keeps are its arguments, of which `fixed` is kept once for all.
    @jax.checkpoint
    def one(number: Array, part: Array, longest: Array, fixed: Any) -> Array:
        nothing = jnp.zeros(shape.shape, shape.dtype)
        return jax.lax.cond(number * size < longest, function, lambda *_: nothing, number, part, fixed)

    each = jnp.arange(chunks), x
    return jax.lax.scan(lambda _, chunk: (None, one(*chunk, longest, fixed)), None, each)[1]


class _Tiles(NamedTuple):
    """How the rows of a batch are dealt into groups and their steps into chunks.

    order: [G R], the row in each place, longest first, or None for the order they have; places beyond the batch repeat
    row 0 with length 0. place: [B], where each row went. lengths: [G, R]. size: steps of a chunk.
    """

    order: Array | None
    place: Array | None
    lengths: Array
    size: int

    @classmethod
    def of(cls, length: Array, steps: int, tile: tuple[int, int] | None) -> "_Tiles":
        rows, size = tile or (CPU_TILE if jax.default_backend() == "cpu" else OTHER_TILE)
        batch = len(length)
        size = -(-steps // max(-(-steps // size), 1))  # chunks of nearly one size
        if batch <= rows or steps <= size:
            return cls(None, None, length[None], size)
        groups = -(-batch // rows)
        rows = -(-batch // groups)
        order = jnp.argsort(-length)
        place = jnp.argsort(order)
        beyond = groups * rows - batch
        lengths = jnp.pad(length[order], (0, beyond)).reshape(groups, rows)
        return cls(jnp.pad(order, (0, beyond)), place, lengths, size)

    def split(self, x: Array) -> Array:
        """[B, L, D] -> [G, C, R, S, D], zeros behind the last step."""
        groups, rows = self.lengths.shape
        _, steps, width = x.shape
        chunks = -(-steps // self.size)
        x = x if self.order is None else x[self.order]
        x = jnp.pad(x, ((0, 0), (0, chunks * self.size - steps), (0, 0)))
        return x.reshape(groups, rows, chunks, self.size, width).transpose(0, 2, 1, 3, 4)

    def join(self, parts: Array, steps: int) -> Array:
        """[G, C, R, S, D] -> [B, L, D], the rows in their own order."""
        groups, chunks, rows, size, width = parts.shape
        x = parts.transpose(0, 2, 1, 3, 4).reshape(groups * rows, chunks * size, width)[:, :steps]
        return x if self.place is None else x[self.place]
