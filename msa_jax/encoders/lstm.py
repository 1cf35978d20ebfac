"""A unidirectional LSTM over sequences of different lengths."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax.layers.dense import uniform

Array = jax.Array


class LSTM(nn.Module):
    """The state after the last valid step of each sequence (Hochreiter and Schmidhuber 1997).

    Steps beyond a sequence's length leave its state as it is, so padding never changes a result. As in torch.nn.LSTM the
    parameters start uniform in ±1/sqrt(hidden), gates are in the order input, forget, cell, output, and there are two
    bias vectors: they add up in the forward pass, but under Adam two equal biases move twice as far as one.

    Parameters: `input` [d, 4h], `recurrent` [h, 4h], `input_bias` [4h], `recurrent_bias` [4h].
    """

    hidden: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, sequence: Array, length: Array) -> Array:
        """[B, L, d], [B] int32 in [0, L] -> [B, hidden]; zeros where the length is 0."""
        batch, steps, width = sequence.shape
        init = uniform(self.hidden**-0.5)
        kernel = self.param("input", init, (width, 4 * self.hidden)).astype(self.dtype)
        recurrent = self.param("recurrent", init, (self.hidden, 4 * self.hidden)).astype(self.dtype)
        bias = self.param("input_bias", init, (4 * self.hidden,)) + self.param(
            "recurrent_bias", init, (4 * self.hidden,)
        )
        # What the inputs give to the gates does not wait for the recurrence: one product for all steps.
        projected = (
            jnp.einsum("bld,dg->lbg", sequence.astype(self.dtype), kernel) + bias.astype(self.dtype)[None, None, :]
        )

        def step(carry: tuple[Array, Array], inputs: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
            state, cell = carry
            gates, position = inputs
            i, f, g, o = jnp.split(gates + state @ recurrent, 4, axis=-1)
            new_cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
            new_state = jax.nn.sigmoid(o) * jnp.tanh(new_cell)
            valid = (position < length)[:, None]
            return (jnp.where(valid, new_state, state), jnp.where(valid, new_cell, cell)), None

        zeros = jnp.zeros((batch, self.hidden), self.dtype)
        (state, _), _ = jax.lax.scan(step, (zeros, zeros), (projected, jnp.arange(steps)))
        return state
