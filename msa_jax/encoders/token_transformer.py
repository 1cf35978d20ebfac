"""A Transformer encoder that begins with a token of its own and gives one vector: ConFEDE's encoder of audio and vision.

Source: Yang et al. ConFEDE: Contrastive Feature Decomposition for Multimodal Sentiment Analysis. ACL 2023, and the authors'
code (facts only). Vaswani et al. 2017, with the norms behind each residual sum, as printed there, and GELU.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax.encoders.transformer import Transformer
from msa_jax.layers.dense import Linear
from msa_jax.layers.pooling import masked_mean, without_padding

Array = jax.Array


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
        token = self.param("token", nn.initializers.ones, (self.width,), jnp.float32)
        positions = self.param("positions", nn.initializers.zeros, (self.steps + 1, self.width), jnp.float32)
        frames = without_padding(frames, length)
        if self.padding_mean and steps < self.steps:
            frames, steps = jnp.pad(frames, ((0, 0), (0, self.steps - steps), (0, 0))), self.steps
        x = Linear(self.width, self.dtype, name="projection")(frames)
        first = jnp.broadcast_to(token.astype(self.dtype), (rows, 1, self.width))
        beyond = max(steps - self.steps, 0)
        positions = jnp.pad(positions, ((0, beyond), (0, 0)), mode="edge")[None, : steps + 1].astype(self.dtype)
        x = Transformer(
            layers=self.layers,
            heads=self.heads,
            feedforward=self.feedforward or self.width,
            dropout=self.dropout,
            attention_dropout=self.dropout,
            dtype=self.dtype,
            tile=self.tile,
            norms="after",
            activation="gelu",
            positions=False,
            keep_padding=self.padding_mean,
            name="transformer",
        )(jnp.concatenate([first, x], axis=1) + positions, length + 1, train=train)
        return masked_mean(x, jnp.full_like(length, self.steps + 1) if self.padding_mean else length + 1)
