"""The text sub-network that the fusion methods of MMSA share."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax.encoders.lstm import LSTM
from msa_jax.layers.dense import Linear
from msa_jax.layers.dropout import Dropout

Array = jax.Array


class TextSubnetwork(nn.Module):
    """The embedding of a sequence of tokens: the last state of an LSTM, dropout, a linear layer.

    hidden: of the LSTM. size: of the embedding. dropout: between the two.

    Parameters: `lstm`, `linear`.
    """

    hidden: int
    size: int
    dropout: float | Array = 0.0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, sequence: Array, length: Array, *, train: bool) -> Array:
        """[B, T, d], [B] int32 in [0, T] -> [B, size]."""
        state = LSTM(self.hidden, self.dtype, name="lstm")(sequence, length)
        state = Dropout(self.dropout)(state, deterministic=not train)
        return Linear(self.size, self.dtype, name="linear")(state)
