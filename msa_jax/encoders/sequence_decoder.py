"""A decoder that writes sequences out of one vector each."""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax.encoders.parallel_lstm import LSTMWeights, apart, walk
from msa_jax.layers.dense import Linear

Array = jax.Array


class SequenceDecoder(nn.Module):
    """An LSTM for each sequence, as wide as the vector. At the first step it reads the vector, at all later ones its own
    state, and each state becomes a frame by a linear layer, as in the code of MFM (Tsai et al., ICLR 2019).

    As input and state are the same from the second step on, their matrices add up there: a step is one product.

    width: {name: of a frame}.

    Parameters: `NAME_lstm` and `NAME_output` for each.
    """

    width: Mapping[str, int]
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, vectors: Mapping[str, Array], steps: int) -> dict[str, Array]:
        """{name: [B, q]} -> {name: [B, steps, width]}."""
        inputs, recurrent = [], []
        for name, vector in vectors.items():
            rows, size = vector.shape
            kernel, inner, bias = LSTMWeights(size, self.dtype, name=f"{name}_lstm")(size)
            first = vector.astype(self.dtype) @ kernel + bias[None]
            later = jnp.broadcast_to(bias[None, None], (steps - 1, rows, 4 * size))
            inputs.append(jnp.concatenate([first[None], later]))
            recurrent.append(kernel + inner)  # the state before the first step is 0
        states = apart(walk(inputs, recurrent).states, [vector.shape[-1] for vector in vectors.values()])
        return {
            name: Linear(self.width[name], self.dtype, name=f"{name}_output")(state.swapaxes(0, 1))
            for name, state in zip(vectors, states, strict=True)
        }
