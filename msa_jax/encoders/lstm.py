"""LSTMs over sequences of different lengths: the last state of one direction, or every state of both."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax.layers.dense import Affine, uniform
from msa_jax.layers.pooling import largest

Array = jax.Array

CHUNK = 32  # steps; a chunk that lies beyond the longest sequence of the batch is not computed
# On a CPU a chunk is computed for all rows or, where these suffice, for an eighth; more ways take longer to compile.
CPU_SHARES = (1, 8)


class LSTM(nn.Module):
    """The state after the last valid step of each sequence (Hochreiter and Schmidhuber 1997).

    Steps beyond a sequence's length leave its state as it is, so padding never changes a result. As in torch.nn.LSTM the
    parameters start uniform in ±1/sqrt(hidden), gates are in the order input, forget, cell, output, and there are two
    bias vectors: they add up in the forward pass, but under Adam two equal biases move twice as far as one.

    Sequences are walked in chunks. Those beyond the batch's longest sequence are skipped; on a CPU others are computed for
    the sequences alone that reach them, about. The gradient is written by hand, in reverse mode and once: from step to step
    goes that of the state alone, while the gates are computed again, and the gradient of the weights summed, in one product
    for all steps of a chunk.

    Parameters: `input` [d, 4h], `recurrent` [h, 4h], `input_bias` [4h], `recurrent_bias` [4h].
    """

    hidden: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, sequence: Array, length: Array) -> Array:
        """[B, L, d], [B] int32 in [0, L] -> [B, hidden]; zeros where the length is 0."""
        weight, bias = _weights(self, sequence.shape[-1])
        way = _Way.of(*sequence.shape[:2], every=False)
        return _recurrence(way, sequence.astype(self.dtype), jnp.asarray(length), weight, bias)


class _Direction(nn.Module):
    """The LSTM of one direction, its parameters as in `LSTM`."""

    hidden: int
    backward: bool
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, sequence: Array, length: Array) -> Array:
        """[B, L, d], [B] int32 -> the state of every step [B, L, hidden]; zeros behind each length."""
        weight, bias = _weights(self, sequence.shape[-1])
        way = _Way.of(*sequence.shape[:2], every=True, backward=self.backward)
        return _recurrence(way, sequence.astype(self.dtype), jnp.asarray(length), weight, bias)


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
        forward = _Direction(self.hidden, False, self.dtype, name="forward")(sequence, length)
        backward = _Direction(self.hidden, True, self.dtype, name="backward")(sequence, length)
        return jnp.concatenate([forward, backward], axis=-1)


def _weights(module: nn.Module, width: int) -> tuple[Array, Array]:
    """Makes a direction's parameters in `module`: one matrix [width + h, 4h] and one bias [4h] in its dtype."""
    init, hidden = uniform(module.hidden**-0.5), module.hidden
    kernel = module.param("input", init, (width, 4 * hidden))
    recurrent = module.param("recurrent", init, (hidden, 4 * hidden))
    bias = module.param("input_bias", init, (4 * hidden,))
    bias = bias + module.param("recurrent_bias", init, (4 * hidden,))
    weight = jnp.concatenate([kernel, recurrent]).astype(module.dtype)  # one product a step for both
    return weight, bias.astype(module.dtype)


class _Way(NamedTuple):
    """How sequences are read, all of it known when a program is compiled.

    steps: L. every: give every state, not the last alone. backward: from the last valid step to the first. counts: of how
    many rows a chunk can be computed, descending; where there are several, rows are walked longest first.
    """

    steps: int
    every: bool
    backward: bool
    counts: tuple[int, ...]

    @classmethod
    def of(cls, rows: int, steps: int, *, every: bool, backward: bool = False) -> "_Way":
        """For that many sequences of so many steps, padding included, on this device."""
        # All rows have a first chunk. Elsewhere than on a CPU a step of few rows costs what one of many does.
        shares = CPU_SHARES if steps > CHUNK and jax.default_backend() == "cpu" else (1,)
        return cls(steps, every, backward, tuple(sorted({-(-rows // share) for share in shares}, reverse=True)))

    def order(self, length: Array) -> Array | None:
        """The rows as they are walked."""
        return jnp.argsort(-length) if len(self.counts) > 1 else None

    def chunks(
        self,
        walk: Callable[..., tuple[Any, Any]],
        nothing: Any,
        length: Array,
        carry: Any,
        parts: Any,
        *,
        backward: bool,
    ) -> tuple[Any, Any]:
        """A scan over chunks of steps.

        Args:
          walk: (rows, carry, first step, part) -> (carry, out) of a chunk, for so many of the first rows.
          nothing: what comes out of a chunk in which no row has a step; the carry stays.
          length: [B], of the rows as they are walked.
          parts: [C, S, ...], C chunks of S steps.
          backward: from the last chunk to the first.
        """

        def chunk(carry: Any, inputs: tuple[Array, Any]) -> tuple[Any, Any]:
            rows = largest((length > inputs[0]).sum())
            branches = [*(partial(walk, count) for count in self.counts), lambda carry, *_: (carry, nothing)]
            which = (rows <= jnp.array((*self.counts, 0))).sum() - 1
            return jax.lax.switch(which, branches, carry, *inputs)

        count, size = jax.tree.leaves(parts)[0].shape[:2]
        return jax.lax.scan(chunk, carry, (jnp.arange(count) * size, parts), reverse=backward)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _recurrence(way: _Way, sequence: Array, length: Array, weight: Array, bias: Array) -> Array:
    """[B, L, d] -> the last state [B, h], or every state [B, L, h] with zeros behind each length."""
    return _read(way, sequence, length, weight, bias, keep=way.every)[0]


def _read(
    way: _Way, sequence: Array, length: Array, weight: Array, bias: Array, *, keep: bool
) -> tuple[Array, tuple[Any, ...]]:
    """What `_recurrence` gives; and the order of the rows, frames and lengths in it, and what `_forward` keeps."""
    order = way.order(length)
    frames, length = _in_chunks(sequence, order), _rows(length, order)
    last, kept = _forward(way, frames, length, weight, bias, keep=keep)
    found = _in_rows(kept[0], order, way.steps) if way.every else _rows(last, _inverse(order))
    return found, (order, frames, length, kept)


def _rows(x: Array, order: Array | None) -> Array:
    """The rows in that order."""
    return x if order is None else x[order]


def _inverse(order: Array | None) -> Array | None:
    """The order that undoes it."""
    return None if order is None else jnp.argsort(order)


def _in_chunks(x: Array, order: Array | None) -> Array:
    """[B, L, d] -> [C, S, B, d], the rows in that order, zeros behind the last step."""
    batch, steps, width = x.shape
    size = min(CHUNK, steps)
    chunks = -(-steps // size)
    padded = jnp.pad(_rows(x, order), ((0, 0), (0, chunks * size - steps), (0, 0)))
    return padded.reshape(batch, chunks, size, width).transpose(1, 2, 0, 3)


def _in_rows(x: Array, order: Array | None, steps: int) -> Array:
    """[C, S, B, d], the rows in that order -> [B, L, d], L = `steps`."""
    chunks, size, batch, width = x.shape
    x = x.transpose(2, 0, 1, 3).reshape(batch, chunks * size, width)[:, :steps]
    return _rows(x, _inverse(order))


def _put(part: Array, whole: Array, axis: int = 0) -> Array:
    """The whole with a part in the place of its first rows."""
    rest = jax.lax.slice_in_dim(whole, part.shape[axis], None, axis=axis)
    return jnp.concatenate([part, rest], axis)


def _forward(
    way: _Way, frames: Array, length: Array, weight: Array, bias: Array, *, keep: bool
) -> tuple[Array, tuple[Array, Array] | None]:
    """[C, S, B, d] -> the last state [B, h] and, to keep, states and cells of all steps [C, S, B, h], zeros at padding."""
    _, size, batch, _ = frames.shape
    zeros = jnp.zeros((batch, len(bias) // 4), frames.dtype)
    nothing = (jnp.zeros((size, *zeros.shape), zeros.dtype),) * 2 if keep else None

    def step(carry: tuple[Array, Array], inputs: tuple[Array, Array]) -> tuple[tuple[Array, Array], Any]:
        state, cell = carry
        frame, position = inputs
        i, f, g, o = _gates(frame, state, weight, bias)
        new_cell = f * cell + i * g
        new_state = o * jnp.tanh(new_cell)
        valid = (position < length[: len(state)])[:, None]
        carry = jnp.where(valid, new_state, state), jnp.where(valid, new_cell, cell)
        return carry, (jnp.where(valid, new_state, 0), jnp.where(valid, new_cell, 0)) if keep else None

    def walk(rows: int, carry: tuple[Array, Array], first: Array, part: Array) -> tuple[tuple[Array, Array], Any]:
        some = jax.tree.map(lambda whole: whole[:rows], carry)
        each = part[:, :rows], first + jnp.arange(size)
        some, kept = jax.lax.scan(step, some, each, reverse=way.backward)
        return jax.tree.map(_put, some, carry), jax.tree.map(partial(_put, axis=1), kept, nothing)

    (last, _), kept = way.chunks(walk, nothing, length, (zeros, zeros), frames, backward=way.backward)
    return last, kept


def _gates(frame: Array, state: Array, weight: Array, bias: Array) -> tuple[Array, Array, Array, Array]:
    """A step [..., d] and the state it begins with [..., h] -> input, forget, new and output gate [..., h]."""
    i, f, g, o = jnp.split(Affine(weight, bias)(jnp.concatenate([frame, state], -1)), 4, axis=-1)
    return jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)


def _remember(way: _Way, *primals: Any) -> tuple[Array, Any]:
    """`_recurrence`, and what its backward pass needs."""
    sequence, length, weight, bias = (primal.value for primal in primals)
    found, read = _read(way, sequence, length, weight, bias, keep=True)
    wanted = () if primals[0].perturbed else None  # a sequence that is data needs no gradient
    return found, (*read, weight, bias, wanted)


def _pull_back(way: _Way, kept: Any, pull: Array) -> tuple[Array | None, None, Array, Array]:
    """The gradients of sequence, weight and bias; pull: that of the last state [B, h] or of all states [B, L, h]."""
    order, frames, length, (states, cells), weight, bias, wanted = kept
    _, size, batch, width = frames.shape
    recurrent = weight[width:].T
    nothing = None if wanted is None else jnp.zeros_like(frames[0])

    def boundary(values: Array) -> Array:
        """Of every chunk [C, S, B, h], the value that it begins with [C, 1, B, h]."""
        zeros = jnp.zeros_like(values[:1, :1])
        return jnp.concatenate([values[1:, :1], zeros] if way.backward else [zeros, values[:-1, -1:]])

    def old(boundary: Array, values: Array) -> Array:
        """Of every step of a chunk [S, B, h], the value that it begins with."""
        return jnp.concatenate([values[1:], boundary] if way.backward else [boundary, values[:-1]])

    def step(carry: tuple[Array, Array], inputs: Any) -> tuple[tuple[Array, Array], Array]:
        d_state, d_cell = carry
        (i, f, g, o), cell, old_cell, pulled, position = inputs
        valid = (position < length[: len(d_state)])[:, None]
        bent = jnp.tanh(cell)
        to_state = d_state if pulled is None else d_state + pulled
        to_cell = d_cell + to_state * o * (1 - bent**2)
        of_gates = (
            to_cell * g * i * (1 - i),
            to_cell * old_cell * f * (1 - f),
            to_cell * i * (1 - g**2),
            to_state * bent * o * (1 - o),
        )
        d_gates = jnp.where(valid, jnp.concatenate(of_gates, -1), 0)
        carry = jnp.where(valid, d_gates @ recurrent, d_state), jnp.where(valid, to_cell * f, d_cell)
        return carry, d_gates

    def walk(rows: int, carry: Any, first: Array, part: Any) -> Any:
        whole, d_weight, d_bias = carry
        part, of_states, of_cells, pulled = jax.tree.map(lambda whole: whole[:, :rows], part)
        old_states = old(*of_states)
        each = _gates(part, old_states, weight, bias), of_cells[1], old(*of_cells), pulled, first + jnp.arange(size)
        some = jax.tree.map(lambda whole: whole[:rows], whole)
        some, d_gates = jax.lax.scan(step, some, each, reverse=not way.backward)
        read = jnp.concatenate([part, old_states], -1)
        d_weight += jnp.einsum("sbd,sbe->de", read, d_gates, preferred_element_type=jnp.float32)
        d_bias += d_gates.sum((0, 1), dtype=jnp.float32)
        d_frames = None if wanted is None else _put(d_gates @ weight[:width].T, nothing, axis=1)
        return (jax.tree.map(_put, some, whole), d_weight, d_bias), d_frames

    zeros = jnp.zeros((batch, len(bias) // 4), frames.dtype)
    pulled, last = (_in_chunks(pull, order), zeros) if way.every else (None, _rows(pull, order))
    carry = (last, zeros), jnp.zeros(weight.shape, jnp.float32), jnp.zeros(bias.shape, jnp.float32)
    parts = frames, (boundary(states), states), (boundary(cells), cells), pulled
    (_, d_weight, d_bias), d_frames = way.chunks(walk, nothing, length, carry, parts, backward=not way.backward)
    d_sequence = None if wanted is None else _in_rows(d_frames, order, way.steps)
    return d_sequence, None, d_weight.astype(weight.dtype), d_bias.astype(bias.dtype)


_recurrence.defvjp(_remember, _pull_back, symbolic_zeros=True)
