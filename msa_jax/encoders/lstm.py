"""LSTMs over sequences of different lengths: the last state of one direction, or every state of both."""

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
        weight, bias = _weights(self, sequence.shape[-1])
        return _walk(sequence.astype(self.dtype), length, weight, bias, every=False)


class _Direction(nn.Module):
    """The LSTM of one direction, its parameters as in `LSTM`."""

    hidden: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, sequence: Array, length: Array) -> Array:
        """[B, L, d], [B] int32 -> the state of every step [B, L, hidden]; zeros behind each length."""
        weight, bias = _weights(self, sequence.shape[-1])
        return _walk(sequence.astype(self.dtype), length, weight, bias, every=True)


class BidirectionalLSTM(nn.Module):
    """The states of every step, read forwards and backwards (Schuster and Paliwal 1997; torch.nn.LSTM's bidirectional).

    The backward direction starts at the last valid step of each sequence, so padding never changes a result. Cell, start
    and chunks are those of `LSTM`.

    Parameters: `forward` and `backward`, each with those of `LSTM`.
    """

    hidden: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, sequence: Array, length: Array) -> Array:
        """[B, L, d], [B] int32 in [0, L] -> [B, L, 2 hidden]: forward and backward state; zeros at padding."""
        sequence = sequence.astype(self.dtype)
        forward = _Direction(self.hidden, self.dtype, name="forward")(sequence, length)
        turned = _Direction(self.hidden, self.dtype, name="backward")(_reverse(sequence, length), length)
        return jnp.concatenate([forward, _reverse(turned, length)], axis=-1)


def _reverse(sequence: Array, length: Array) -> Array:
    """The valid steps of each sequence [B, L, d] in reverse order; padding stays where it is."""
    step = jnp.arange(sequence.shape[1])[None, :]
    source = jnp.where(step < length[:, None], length[:, None] - 1 - step, step)
    return jnp.take_along_axis(sequence, source[..., None], axis=1)


def _weights(module: nn.Module, width: int) -> tuple[Array, Array]:
    """Makes a direction's parameters in `module`: one matrix [width + h, 4h] and one bias [1, 4h] in its dtype."""
    init, hidden = uniform(module.hidden**-0.5), module.hidden
    kernel = module.param("input", init, (width, 4 * hidden))
    recurrent = module.param("recurrent", init, (hidden, 4 * hidden))
    bias = module.param("input_bias", init, (4 * hidden,))
    bias = bias + module.param("recurrent_bias", init, (4 * hidden,))
    weight = jnp.concatenate([kernel, recurrent]).astype(module.dtype)  # one product a step for both
    return weight, bias.astype(module.dtype)[None, :]


def _walk(sequence: Array, length: Array, weight: Array, bias: Array, *, every: bool) -> Array:
    """[B, L, d] -> the last state [B, h], or `every` state [B, L, h] with zeros behind each length."""
    batch, steps, width = sequence.shape
    hidden = bias.shape[-1] // 4

    def step(carry: tuple[Array, Array], inputs: tuple[Array, Array]) -> tuple[tuple[Array, Array], Array | None]:
        state, cell = carry
        frame, position = inputs
        i, f, g, o = jnp.split(jnp.concatenate([frame, state], -1) @ weight + bias, 4, axis=-1)
        new_cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
        new_state = jax.nn.sigmoid(o) * jnp.tanh(new_cell)
        valid = (position < length)[:, None]
        carry = (jnp.where(valid, new_state, state), jnp.where(valid, new_cell, cell))
        return carry, jnp.where(valid, new_state, 0) if every else None

    size = min(CHUNK, steps)
    chunks = -(-steps // size)
    padded = jnp.pad(sequence, ((0, 0), (0, chunks * size - steps), (0, 0)))
    frames = padded.reshape(batch, chunks, size, width).transpose(1, 2, 0, 3)  # [chunks, size, B, d]
    longest = length.max()
    nothing = jnp.zeros((size, batch, hidden), sequence.dtype) if every else None

    @jax.checkpoint
    def walk(carry: tuple[Array, Array], first: Array, part: Array) -> tuple[tuple[Array, Array], Array | None]:
        return jax.lax.scan(step, carry, (part, first + jnp.arange(size)))

    def chunk(carry: tuple[Array, Array], inputs: tuple[Array, Array]) -> tuple[tuple[Array, Array], Array | None]:
        first, part = inputs
        return jax.lax.cond(first < longest, walk, lambda carry, *_: (carry, nothing), carry, first, part)

    zeros = jnp.zeros((batch, hidden), sequence.dtype)
    (state, _), states = jax.lax.scan(chunk, (zeros, zeros), (jnp.arange(chunks) * size, frames))
    if not every:
        return state
    return states.transpose(2, 0, 1, 3).reshape(batch, chunks * size, hidden)[:, :steps]
