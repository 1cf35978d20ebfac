"""Decoders: one that writes sequences out of one vector each, and one that writes a sequence out of another."""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax.encoders.parallel_lstm import LSTMWeights, apart, walk
from msa_jax.layers.dense import Linear, add_bias, uniform
from msa_jax.layers.functional import product
from msa_jax.layers.pooling import valid_steps

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
            first = add_bias(vector.astype(self.dtype) @ kernel, bias)
            later = jnp.broadcast_to(bias[None, None], (steps - 1, rows, 4 * size)).astype(self.dtype)
            inputs.append(jnp.concatenate([first[None], later]))
            recurrent.append(kernel + inner)  # the state before the first step is 0
        states = apart(walk(inputs, recurrent).states, [vector.shape[-1] for vector in vectors.values()])
        return {
            name: Linear(self.width[name], self.dtype, name=f"{name}_output")(state.swapaxes(0, 1))
            for name, state in zip(vectors, states, strict=True)
        }


class AttentionDecoder(nn.Module):
    """An LSTM that writes a sequence of T steps out of T states: at every step it reads a weighted mean of all of them.

        e_j = v . tanh(K s_j + Q c),    a = softmax(e),    h, c = LSTM(sum_j a_j s_j; h, c),    y = W h

    Nothing that was written is read again. The energies are as in Bahdanau et al. (ICLR 2015), but that the cell c asks.

    hidden: size of the LSTM. width: of a frame that is written.

    What the code of MCTN (Pham et al., AAAI 2019) does:
    linear: e_j = v . s_j + q . c. The part of the cell is the same for all j, so the softmax cancels it: all steps read one
      mean, and q, which would have no gradient, is not made.
    tied_gates: the forget gate is the input gate; its own columns are made and not read.

    Parameters: `lstm`, `output`, and `energy` [h or q]; unless linear `keys` and `query` [h, h].
    """

    hidden: int
    width: int
    linear: bool = False
    tied_gates: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, states: Array, length: Array) -> Array:
        """[B, T, q], [B] int32 in [0, T] -> [B, T, width]; beyond the length it goes on writing and reads nothing new."""
        rows, steps, size = states.shape
        states = states.astype(self.dtype)
        counts = valid_steps(length, steps)[..., 0]
        kernel, recurrent, bias = LSTMWeights(self.hidden, self.dtype, name="lstm")(size)
        read = size if self.linear else self.hidden
        energy = self.param("energy", uniform(read**-0.5), (read,)).astype(self.dtype)

        def mean(energies: Array) -> Array:
            share = nn.softmax(jnp.where(counts, energies.astype(jnp.float32), -1e9), axis=1).astype(self.dtype)
            return jnp.einsum("bt,btq->bq", share, states)

        if self.linear:
            outside = add_bias(mean(states @ energy) @ kernel, bias)  # the same at every step

            def read_out(cell: Array) -> Array:
                return outside

        else:
            keys = Linear(self.hidden, self.dtype, name="keys")(states)
            query = self.param("query", uniform(self.hidden**-0.5), (self.hidden, self.hidden)).astype(self.dtype)

            def read_out(cell: Array) -> Array:
                asked = cell.astype(self.dtype) @ query
                return add_bias(mean(jnp.tanh(keys + asked[:, None]) @ energy) @ kernel, bias)

        def step(before: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], Array]:
            state, cell = before
            i, f, g, o = jnp.split(read_out(cell) + product("bh,hg->bg", state, recurrent), 4, axis=-1)
            i, g, o = nn.sigmoid(i), jnp.tanh(g), nn.sigmoid(o)
            cell = (i if self.tied_gates else nn.sigmoid(f)) * cell + i * g
            state = (o * jnp.tanh(cell)).astype(self.dtype)
            return (state, cell), state

        # In bfloat16 cell and gates are float32 all the same, as in `parallel_lstm`.
        zeros = jnp.zeros((rows, self.hidden), jnp.float32)
        written = jax.lax.scan(step, (zeros.astype(self.dtype), zeros), None, length=steps)[1]
        return Linear(self.width, self.dtype, name="output")(written.swapaxes(0, 1))
