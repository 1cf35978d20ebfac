"""Audio and vision frames into contextual representations, with a cut-off twin for contrast (MMCL, section 3.3)."""

from typing import Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax.encoders.lstm import BidirectionalLSTM
from msa_jax.encoders.transformer import Transformer
from msa_jax.layers.cutoff import FeatureCutoff
from msa_jax.layers.dense import Linear
from msa_jax.layers.pooling import adaptive_mean, without_padding

Array = jax.Array


class Encoded(NamedTuple):
    """F_u and, where it was asked for, F_u† [B, L', D], zeros at padding, and their lengths [B] int32."""

    original: Array
    cutoff: Array | None
    length: Array


class UnimodalEncoder(nn.Module):
    """Bidirectional LSTM, feature cutoff, then a Transformer that the original and the cut-off sequence share.

    The LSTM runs once for both, and both go through the Transformer in one call, side by side on the batch axis.

    hidden: of each direction of the LSTM; D is twice that. cutoff: share of the features that the twin loses.
    kind: "transformer", or "linear": one linear layer in its place (MMCL, Table 2). max_steps: longer sequences are
    averaged to this many steps between LSTM and Transformer; None leaves them.
    layers, heads, feedforward, dropout: of the Transformer.

    Parameters: `lstm`, and `transformer` or `linear`.
    """

    hidden: int = 64
    kind: Literal["transformer", "linear"] = "transformer"
    layers: int = 3
    heads: int = 8
    feedforward: int = 512
    dropout: float | Array = 0.1
    cutoff: float | Array = 0.2
    max_steps: int | None = None
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, frames: Array, length: Array, *, train: bool, twin: bool) -> Encoded:
        """[B, L, d], [B] int32 in [0, L] -> F_u, F_u† where `twin`, and their lengths, at most max_steps."""
        h = BidirectionalLSTM(self.hidden, self.dtype, name="lstm")(frames, length)  # eq. 2
        if self.max_steps is not None and h.shape[1] > self.max_steps:
            shorter = jnp.minimum(length, self.max_steps)
            h, length = adaptive_mean(h, length, self.max_steps, shorter), shorter
        rows, steps, width = h.shape
        if twin:
            # Each row beside its twin: with the batch split over devices, both stay where they are.
            h = jnp.stack([h, FeatureCutoff(self.cutoff)(h, train=train)], axis=1).reshape(2 * rows, steps, width)
        lengths = jnp.repeat(length, 2) if twin else length
        if self.kind == "linear":
            encoded = without_padding(Linear(width, self.dtype, name="linear")(h), lengths)
        else:
            # States lie in (-1, 1), most of them near 0: scaled as embeddings are (Vaswani et al., section 3.4), they are
            # not drowned by the positions.
            transformer = Transformer(
                self.layers, self.heads, self.feedforward, self.dropout, self.dropout, self.dtype, name="transformer"
            )
            encoded = transformer(h * width**0.5, lengths, train=train)  # eq. 3
        if not twin:
            return Encoded(encoded, None, length)
        encoded = encoded.reshape(rows, 2, steps, width)
        return Encoded(encoded[:, 0], encoded[:, 1], length)
