"""A unidirectional LSTM over sequences of different lengths."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax.layers.dense import uniform

Array = jax.Array

CHUNK = 32  # steps; a chunk that lies beyond the longest sequence of the batch is not computed


class LSTM(nn.Module):
    """The state after the last valid step of each sequence (Hochreiter and Schmidhuber 1997).

    Steps beyond a sequence's length leave its state as it is, so padding never changes a result. As in torch.nn.LSTM the
    parameters start uniform in ±1/sqrt(hidden), gates are in the order input, forget, cell, output, and there are two
    bias vectors: they add up in the forward pass, but under Adam two equal biases move twice as far as one.

    Sequences are walked in chunks. Those beyond the batch's longest sequence are skipped, and the backward pass computes
    the states within a chunk again instead of keeping them: on a CPU that is several times faster than one long scan.

    Parameters: `input` [d, 4h], `recurrent` [h, 4h], `input_bias` [4h], `recurrent_bias` [4h].
    """

    hidden: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, sequence: Array, length: Array) -> Array:
        """[B, L, d], [B] int32 in [0, L] -> [B, hidden]; zeros where the length is 0."""
        batch, steps, width = sequence.shape
        init = uniform(self.hidden**-0.5)
        kernel = self.param("input", init, (width, 4 * self.hidden))
        recurrent = self.param("recurrent", init, (self.hidden, 4 * self.hidden))
        bias = self.param("input_bias", init, (4 * self.hidden,))
        bias = bias + self.param("recurrent_bias", init, (4 * self.hidden,))
        weight = jnp.concatenate([kernel, recurrent]).astype(self.dtype)  # one product a step for both
        bias = bias.astype(self.dtype)[None, :]

        def step(carry: tuple[Array, Array], inputs: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
            state, cell = carry
            frame, position = inputs
            i, f, g, o = jnp.split(jnp.concatenate([frame, state], -1) @ weight + bias, 4, axis=-1)
            new_cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
            new_state = jax.nn.sigmoid(o) * jnp.tanh(new_cell)
            valid = (position < length)[:, None]
            return (jnp.where(valid, new_state, state), jnp.where(valid, new_cell, cell)), None

        size = min(CHUNK, steps)
        chunks = -(-steps // size)
        padded = jnp.pad(sequence.astype(self.dtype), ((0, 0), (0, chunks * size - steps), (0, 0)))
        frames = padded.reshape(batch, chunks, size, width).transpose(1, 2, 0, 3)  # [chunks, size, B, d]
        longest = length.max()

        @jax.checkpoint
        def walk(carry: tuple[Array, Array], first: Array, part: Array) -> tuple[Array, Array]:
            return jax.lax.scan(step, carry, (part, first + jnp.arange(size)))[0]

        def chunk(carry: tuple[Array, Array], inputs: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
            first, part = inputs
            return jax.lax.cond(first < longest, walk, lambda carry, *_: carry, carry, first, part), None

        zeros = jnp.zeros((batch, self.hidden), self.dtype)
        (state, _), _ = jax.lax.scan(chunk, (zeros, zeros), (jnp.arange(chunks) * size, frames))
        return state
