"""A Transformer encoder over sequences of different lengths, which attend to themselves or to others.

Vaswani et al. 2017, Attention is all you need, with the norms in front (Xiong et al. 2020): each layer is attention and a
feed-forward part, both on a normalised input and with a residual connection around; a last norm ends the stack.

With a context it is cross-modal attention (Tsai et al. 2019, Multimodal Transformer for unaligned multimodal language
sequences, section 3.1): every layer reads keys and values off the same context, through the norm of its own queries.

Layers are one loop over their stacked parameters, and each is computed in tiles (msa_jax.encoders.transformer_tiles).
"""

from functools import partial
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from msa_jax.encoders.transformer_tiles import Context, Draws, LayerPlan, Read, Rest, Tiles, layer
from msa_jax.errors import InputError
from msa_jax.layers.dense import Affine, AffineParams, Norm
from msa_jax.layers.dropout import Dropout, mask_key
from msa_jax.layers.functional import keep_where
from msa_jax.layers.pooling import valid_steps
from msa_jax.layers.stack import STACK

Array = jax.Array


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


class _NormParams(nn.Module):
    """The parameters of a LayerNorm, or of some that lie stacked, not yet applied."""

    shape: tuple[int, ...]

    @nn.compact
    def __call__(self) -> Norm:
        ones, zeros = nn.initializers.ones, nn.initializers.zeros
        given = self.shape, jnp.float32
        return Norm(self.param("scale", ones, *given), self.param("bias", zeros, *given))


def _or(rate: float | Array | None, other: float | Array) -> float | Array:
    return other if rate is None else rate


class _Layers(nn.Module):
    """Makes the stacked parameters of all layers, as torch.nn.TransformerEncoderLayer starts each; or with `start` "glorot"
    every matrix by Glorot's bound and every bias at 0."""

    layers: int
    width: int
    feedforward: int
    norms: Literal["before", "after"]
    start: Literal["torch", "glorot"]
    dtype: jnp.dtype

    @nn.compact
    def __call__(self) -> tuple[Read, Rest]:
        width, wide = self.width, self.feedforward
        # Torch keeps the three projections in one matrix, so their scale is Glorot's for its shape; biases start at 0.
        together = (6 / (width + 3 * width)) ** 0.5

        def affine(name: str, into: int, out: int, bound: float, bias: float) -> Affine:
            return AffineParams((self.layers, into, out), bound, bias, self.dtype, name=name)()

        def start(into: int, out: int) -> tuple[float, float]:
            return ((6 / (into + out)) ** 0.5, 0.0) if self.start == "glorot" else (into**-0.5, into**-0.5)

        first = _NormParams((self.layers, width), name="attention_norm")()
        three = [affine(name, width, width, together, 0.0) for name in ("query", "key", "value")]
        read = Read(
            norm=first if self.norms == "before" else None,
            project=jax.tree.map(lambda *leaves: jnp.concatenate(leaves, -1), *three),
        )
        rest = Rest(
            output=affine("output", width, width, start(width, width)[0], 0.0),
            norm_after=first if self.norms == "after" else None,
            norm=_NormParams((self.layers, width), name="feedforward_norm")(),
            expand=affine("expand", width, wide, *start(width, wide)),
            contract=affine("contract", wide, width, *start(wide, width)),
        )
        return read, rest


class Transformer(nn.Module):
    """A stack of encoder layers with a key padding mask, by default with the norms in front and sinusoidal positions.

    A step attends to the valid steps of its own sequence alone. Positions have an amplitude of 1, so x should be of that
    order. In training dropout draws from the "dropout" random collection.

    layers: how many. heads: H, a divisor of D. feedforward: hidden units between a layer's two linear maps.
    dropout: rate at the input, in the feed-forward part and at the end of each residual branch; input_dropout, hidden_dropout:
    another one for the first two. attention_dropout: of the attention weights. tile: rows and steps of a tile, by default
    what suits the device.
    norms: "before" each part of a layer, or "after" its residual sum, as in torch.nn.TransformerEncoder. final_norm: one more
    behind the stack. activation: between the two linear maps. positions: add sinusoidal ones. keep_padding: compute the
    states of padding too; what attends still sees valid steps alone. offset: step i sees step j only where j <= i + offset,
    0 for the steps so far; None sees all. start: matrices and biases as torch.nn.TransformerEncoderLayer starts them, or by
    Glorot's bound and at 0.

    Parameters: `layers`, stacked along a leading axis (msa_jax.layers.stack), with `query`, `key`, `value`, `output`,
    `expand`, `contract` (kernel, bias) and `attention_norm`, `feedforward_norm` (scale, bias); `norm` with `final_norm`.

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
    input_dropout: float | Array | None = None
    hidden_dropout: float | Array | None = None
    offset: int | None = None
    start: Literal["torch", "glorot"] = "torch"

    @nn.compact
    def __call__(
        self,
        x: Array,
        length: Array,
        context: tuple[Array, Array] | None = None,
        context_length: Array | None = None,
        *,
        train: bool,
    ) -> Array:
        """Args:
          x: [B, L, D]. length: [B] int32 in [0, L].
          context: what keys and what values are made of in every layer, [B, S, D] each; x attends to itself without one.
            No positions are added to them, and no dropout.
          context_length: [B] int32 in [1, S].

        Returns:
          [B, L, D]; zeros at padding unless kept, for which lengths are at least 1.
        """
        _, steps, width = x.shape
        if width % self.heads:
            raise InputError(f"a Transformer of width {width} cannot have {self.heads} heads; expected a divisor of it")
        length = jnp.asarray(length)
        valid = valid_steps(length, steps)  # [B, L, 1]
        x = x.astype(self.dtype)
        x = x if self.keep_padding else keep_where(valid, x)  # whatever stands at padding
        if self.positions:
            x = x + jnp.asarray(sinusoidal_positions(steps, width), self.dtype)[None]
        x = Dropout(_or(self.input_dropout, self.dropout))(x, deterministic=not train)
        read, rest = _Layers(self.layers, width, self.feedforward, self.norms, self.start, self.dtype, name=STACK)()

        rates = self.dropout, _or(self.hidden_dropout, self.dropout), self.attention_dropout
        fixed = tuple(rate if isinstance(rate, int | float) else None for rate in rates)
        random = train and any(rate != 0 for rate in fixed)
        activation = nn.relu if self.activation == "relu" else partial(nn.gelu, approximate=False)
        plan = LayerPlan(self.heads, self.norms == "before", activation, fixed if random else (), self.offset)
        traced = tuple(None if known is not None else rate for known, rate in zip(fixed, rates, strict=True))
        tiles, size = Tiles.of(length, steps, self.tile, padding=self.keep_padding)
        x = tiles.split(x, size)
        source, chunks = None, len(x) // len(tiles.lengths)
        if context is not None:
            known = jnp.asarray(context_length)
            places, size = tiles.of_context(known, context[0].shape[1], self.tile)
            padded = (keep_where(valid_steps(known, each.shape[1]), each.astype(self.dtype)) for each in context)
            source = Context(*(places.split(each, size) for each in padded), places)
            chunks = len(source.keys) // len(places.lengths)
        keys = None
        if random:
            keys = jax.random.split(mask_key(self.make_rng("dropout")), (self.layers, len(x), 3 + chunks))

        def step(x: Array, each: tuple[Read, Rest, Array | None]) -> tuple[Array, None]:
            read, rest, keys = each
            draws = None if keys is None else Draws(keys, traced)
            return layer(plan, read, rest, x, source, tiles, draws), None

        x, _ = jax.lax.scan(step, x, (read, rest, keys))
        x = tiles.join(x, steps)
        if self.final_norm:
            x = _NormParams((width,), name="norm")()(x)
        return x if self.keep_padding else keep_where(valid, x)
