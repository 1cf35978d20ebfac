"""A Transformer encoder that begins with a token of its own and gives one vector: ConFEDE's encoder of audio and vision.

Source: Yang et al. ConFEDE: Contrastive Feature Decomposition for Multimodal Sentiment Analysis. ACL 2023, and the authors'
code (facts only). Vaswani et al. 2017, with the norms behind each residual sum, as printed there, and GELU.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax.encoders.transformer import (
    Transformer,
    _apply,
    _attention,
    _Layer,
    _Norm,
    _normalise,
    _over_chunks,
    _Tiles,
    _Weights,
)
from msa_jax.errors import InputError
from msa_jax.layers.dense import Linear
from msa_jax.layers.dropout import Dropout, drop
from msa_jax.layers.pooling import masked_mean

Array = jax.Array


class PostNormTransformer(Transformer):
    """The tiles and parameters of `Transformer`, its norms behind each residual sum, GELU, and no positions.

    So torch.nn.TransformerEncoder of layers with activation "gelu", and a LayerNorm behind the stack.

    keep_padding: compute the states of padding too. A state still attends to valid steps alone.
    """

    keep_padding: bool = False

    @nn.compact
    def __call__(self, x: Array, length: Array, *, train: bool) -> Array:
        """[B, L, D], [B] int32 in [1, L] -> [B, L, D]; zeros at padding unless kept."""
        _, steps, width = x.shape
        if width % self.heads:
            raise InputError(f"a Transformer of width {width} cannot have {self.heads} heads; expected a divisor of it")
        length = jnp.asarray(length)
        valid = (jnp.arange(steps)[None, :] < length[:, None])[..., None] | self.keep_padding  # [B, L, 1]
        x = Dropout(self.dropout)(jnp.where(valid, x.astype(self.dtype), 0.0), deterministic=not train)
        rates = self.dropout, self.attention_dropout
        random = train and not all(isinstance(rate, int | float) and rate == 0 for rate in rates)
        key = self.make_rng("dropout") if random else None
        layers = [_Layer(width, self.feedforward, self.dtype, name=f"layer_{n}")() for n in range(self.layers)]
        norm = _Norm(width, name="norm")()

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
        return jnp.where(valid, _normalise(tiles.join(parts, steps), norm), 0.0)

    def _layer(self, weights: _Weights, x: Array, length: Array, key: Array | None) -> Array:
        """One layer of one group of rows: x [C, R, S, D], length [R] -> [C, R, S, D]."""
        chunks, rows, size, width = x.shape
        longest = jnp.int32(chunks * size) if self.keep_padding else length.max()
        scale = (width // self.heads) ** -0.5

        def split(projected: Array) -> Array:
            return projected.reshape(rows, size, self.heads, -1).transpose(0, 2, 1, 3)  # [R, H, S, d]

        def project(number: Array, part: Array, weights: _Weights) -> Array:
            return jnp.concatenate([split(_apply(part, of)) for of in (weights.key, weights.value)], -1)

        def attend(number: Array, part: Array, fixed: tuple[_Weights, Array, Array]) -> Array:
            weights, context, length = fixed
            seeds = None if key is None else jax.random.split(jax.random.fold_in(key, number), 4)

            def dropped(which: int, x: Array, rate: float | Array) -> Array:
                return x if seeds is None else drop(seeds[which], x, rate)

            def drop_shares(chunk: Array, shares: Array) -> Array:
                if seeds is None:
                    return shares
                return drop(jax.random.fold_in(seeds[0], chunk), shares, self.attention_dropout)

            query = split(_apply(part, weights.query)) * scale
            mixed = _attention(query, context, length, drop_shares).transpose(0, 2, 1, 3).reshape(part.shape)
            part = _normalise(part + dropped(1, _apply(mixed, weights.output), self.dropout), weights.attention_norm)
            hidden = nn.gelu(_apply(part, weights.expand), approximate=False)
            hidden = _apply(dropped(2, hidden, self.dropout), weights.contract)
            return _normalise(part + dropped(3, hidden, self.dropout), weights.feedforward_norm)

        context = _over_chunks(project, x, longest, weights)  # [C, R, H, S, 2 d]
        return _over_chunks(attend, x, longest, (weights, context, length))


class TokenTransformer(nn.Module):
    """Frames -> Linear -> a learned token in front, learned positions, dropout -> Transformer -> LayerNorm -> mean.

    The mean is over the token and the valid frames. An utterance without any frame has its token left.

    width: D. steps: frames there is a position for; frames beyond have the last one's. layers, heads: of the Transformer.
    feedforward: hidden units of its layers; None is D. dropout: behind the positions, in the layers and of the attention
    weights. padding_mean: take the mean over `steps` frames and the token, padding included, as the authors' code does.

    Parameters: `projection`; `token` [D], ones at first; `positions` [steps + 1, D], zeros at first; `transformer`.

    Raises:
      InputError: a width that the heads do not divide.
    """

    width: int
    steps: int
    layers: int = 2
    heads: int = 8
    feedforward: int | None = None
    dropout: float | Array = 0.5
    padding_mean: bool = False
    dtype: jnp.dtype = jnp.float32
    tile: tuple[int, int] | None = None

    @nn.compact
    def __call__(self, frames: Array, length: Array, *, train: bool) -> Array:
        """[B, L, d], [B] int32 in [0, L] -> [B, D]; whatever stands at padding."""
        rows, steps, _ = frames.shape
        length = jnp.asarray(length)
        token = self.param("token", nn.initializers.ones, (self.width,))
        positions = self.param("positions", nn.initializers.zeros, (self.steps + 1, self.width))
        inside = (jnp.arange(steps)[None, :] < length[:, None])[..., None]
        frames = jnp.where(inside, frames, 0.0)
        if self.padding_mean and steps < self.steps:
            frames, steps = jnp.pad(frames, ((0, 0), (0, self.steps - steps), (0, 0))), self.steps
        x = Linear(self.width, self.dtype, name="projection")(frames)
        first = jnp.broadcast_to(token.astype(self.dtype), (rows, 1, self.width))
        beyond = max(steps - self.steps, 0)
        positions = jnp.pad(positions, ((0, beyond), (0, 0)), mode="edge")[None, : steps + 1].astype(self.dtype)
        x = PostNormTransformer(
            layers=self.layers,
            heads=self.heads,
            feedforward=self.feedforward or self.width,
            dropout=self.dropout,
            attention_dropout=self.dropout,
            dtype=self.dtype,
            tile=self.tile,
            keep_padding=self.padding_mean,
            name="transformer",
        )(jnp.concatenate([first, x], axis=1) + positions, length + 1, train=train)
        return masked_mean(x, jnp.full_like(length, self.steps + 1) if self.padding_mean else length + 1)
