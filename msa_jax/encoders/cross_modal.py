"""The encoder of the Multimodal Transformer: steps of one modality that read another, or their own (Tsai et al. 2019)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax.encoders.sparse_phased import positions
from msa_jax.encoders.transformer import Transformer
from msa_jax.layers.dropout import Dropout

Array = jax.Array


class CrossModalEncoder(nn.Module):
    """Layers of attention from one sequence to another, or to itself, each followed by a feed-forward part of four widths.

    Both sequences are multiplied by sqrt(D), get positions and a dropout of their own; keys and values are two draws of
    it. Every layer reads the same context, through the norm of its own queries (Tsai et al. 2019, eq. 4-6; the norm in
    front and the last one as in the authors' code). Matrices start by Glorot's bound, biases at 0.

    layers, heads: of the Transformer; heads divide D. dropout: at the end of each residual branch; hidden_dropout: behind
    the ReLU; input_dropout: of what goes in; attention_dropout: of the weights.
    positions: add sinusoidal ones. so_far: step i sees step j only where j <= i + |S - L|. L and S are the steps of the arrays;
    where they are equal, a step sees the steps so far. The authors' code has that mask.

    Parameters: `transformer`, a `Transformer`.
    """

    layers: int
    heads: int
    dropout: float | Array = 0.0
    hidden_dropout: float | Array = 0.0
    input_dropout: float | Array = 0.0
    attention_dropout: float | Array = 0.0
    positions: bool = True
    so_far: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: Array, length: Array, context: Array | None = None, context_length: Array | None = None, *, train: bool
    ) -> Array:
        """[B, L, D], [B] int32 in [1, L], [B, S, D], [B] int32 in [1, S] -> [B, L, D], zeros at padding."""

        def embedded(sequence: Array) -> Array:
            _, steps, width = sequence.shape
            sequence = sequence.astype(self.dtype) * jnp.asarray(width**0.5, self.dtype)
            if self.positions:
                sequence = sequence + jnp.asarray(positions(steps, width)[1:], self.dtype)[None]
            return sequence

        def dropped(sequence: Array) -> Array:
            return Dropout(self.input_dropout)(sequence, deterministic=not train)

        pair = None
        if context is not None:
            source = embedded(context)
            pair = dropped(source), dropped(source)
        other = x if context is None else context
        transformer = Transformer(
            layers=self.layers,
            heads=self.heads,
            feedforward=4 * x.shape[-1],
            dropout=self.dropout,
            attention_dropout=self.attention_dropout,
            hidden_dropout=self.hidden_dropout,
            input_dropout=self.input_dropout,
            positions=False,
            offset=abs(other.shape[1] - x.shape[1]) if self.so_far else None,
            start="glorot",
            dtype=self.dtype,
            name="transformer",
        )
        return transformer(embedded(x), length, pair, context_length, train=train)
