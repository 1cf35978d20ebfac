"""LSTMs of several sequences on one time axis, walked in one loop that gives states and cells of every step.

`msa_jax.encoders.lstm` walks one sequence and hides its cells; memory fusion asks for all cells of a step, and a decoder for
the states of several LSTMs that feed themselves.

In bfloat16 cells, gates and the gradients that a step hands on are float32 all the same: a forget gate near 1 would round to 1,
and a cell would round at every step.

T is the number of steps, B of rows, h_m the size of LSTM m, H the sum of all h_m. Steps come first, as a loop reads them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax.layers.dense import add_bias, uniform
from msa_jax.layers.functional import keep_where, product
from msa_jax.layers.pooling import valid_steps

Array = jax.Array


class States(NamedTuple):
    """States and cells behind each step, [T, B, H], all LSTMs side by side."""

    states: Array
    cells: Array


class LSTMWeights(nn.Module):
    """The parameters of an LSTM's cell, not yet applied; names, shapes and start are those of `encoders.lstm.LSTM`."""

    hidden: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, width: int) -> tuple[Array, Array, Array]:
        """Of what is read, [width, 4h], of the state, [h, 4h], and the sum of both biases, [4h] float32."""
        init, gates = uniform(self.hidden**-0.5), 4 * self.hidden
        kernel = self.param("input", init, (width, gates)).astype(self.dtype)
        recurrent = self.param("recurrent", init, (self.hidden, gates)).astype(self.dtype)
        bias = self.param("input_bias", init, (gates,)) + self.param("recurrent_bias", init, (gates,))
        return kernel, recurrent, bias


class ParallelLSTM(nn.Module):
    """An LSTM for each of several sequences (torch.nn.LSTMCell). Beyond the length states and cells stay as they are, so that
    the last step holds those after the last valid one.

    hidden: {name: h_m}.

    Parameters: `NAME_lstm` for each, see `LSTMWeights`.
    """

    hidden: Mapping[str, int]
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, sequences: Mapping[str, Array], length: Array) -> States:
        """{name: [B, T, d_m]}, [B] int32 in [0, T] -> states and cells in the order of `sequences`."""
        inputs, recurrent = [], []
        for name, sequence in sequences.items():
            weights = LSTMWeights(self.hidden[name], self.dtype, name=f"{name}_lstm")
            kernel, inner, bias = weights(sequence.shape[-1])
            # One product for all steps leaves the recurrent one to each.
            of_input = sequence.astype(self.dtype).swapaxes(0, 1) @ kernel
            inputs.append(add_bias(of_input, bias))
            recurrent.append(inner)
        return walk(inputs, recurrent, steps_first(length, inputs[0].shape[0]))


def steps_first(length: Array, steps: int) -> Array:
    """[B] int32 in [0, T] -> [T, B, 1] bool, which steps are valid."""
    return valid_steps(length, steps).swapaxes(0, 1)


def walk(
    inputs: Sequence[Array], recurrent: Sequence[Array], valid: Array | None = None, *, together: bool | None = None
) -> States:
    """The states of LSTMs that begin with zeros, gates in the order input, forget, new, output.

    Args:
      inputs: [T, B, 4 h_m] of each LSTM, what its gates have from outside.
      recurrent: [h_m, 4 h_m] of each.
      valid: [T, B, 1] bool; a step that is not leaves states and cells as they are. None: all are.
      together: multiply by one matrix, with zeros between the LSTMs, instead of by one for each. None: where that is
        quicker, which is on anything but a CPU: a step there costs what its operations count, not how large they are.

    Returns:
      States and cells, in the order of `inputs`.
    """
    together = jax.default_backend() != "cpu" if together is None else together
    outside = _side_by_side(inputs)
    if valid is None:
        valid = jnp.ones((*outside.shape[:2], 1), bool)
    return _walk(outside, (_joined(recurrent),) if together else tuple(recurrent), valid)


@jax.custom_vjp
def _walk(outside: Array, recurrent: tuple[Array, ...], valid: Array) -> States:
    """[T, B, 4, H] from outside."""
    return _forward(outside, recurrent, valid)[0]


def _forward(outside: Array, recurrent: tuple[Array, ...], valid: Array) -> tuple[States, Array]:
    """States, and for the gradient the gates [T, B, 4, H] float32."""
    sizes, dtype = [matrix.shape[0] for matrix in recurrent], outside.dtype
    zeros = jnp.zeros((outside.shape[1], sum(sizes)), jnp.float32)

    def step(before: States, each: tuple[Array, Array]) -> tuple[States, tuple[States, Array]]:
        of_input, counts = each
        parts = zip(apart(before.states, sizes), recurrent, strict=True)
        inner = [product("bh,hg->bg", state, matrix) for state, matrix in parts]
        i, f, g, o = jnp.split(of_input + _side_by_side(inner), 4, axis=1)
        gates = jnp.concatenate([nn.sigmoid(i), nn.sigmoid(f), jnp.tanh(g), nn.sigmoid(o)], axis=1)
        i, f, g, o = (gates[:, number] for number in range(4))
        cells = f * before.cells + i * g
        after = States((o * jnp.tanh(cells)).astype(dtype), cells)
        after = States(*(jnp.where(counts, new, old) for new, old in zip(after, before, strict=True)))
        return after, (States(after.states, after.cells.astype(dtype)), gates)

    return jax.lax.scan(step, States(zeros.astype(dtype), zeros), (outside, valid))[1]


def _remember(outside: Array, recurrent: tuple[Array, ...], valid: Array) -> tuple[States, Any]:
    states, gates = _forward(outside, recurrent, valid)
    return states, (recurrent, valid, states, gates)


def _backward(kept: Any, pull: States) -> tuple[Array, tuple[Array, ...], None]:
    """The gradient by hand: only what depends on the step behind is left to the loop, and the gradient of the matrices, which
    a scan would add up step by step, is one product."""
    recurrent, valid, states, gates = kept
    sizes = [matrix.shape[0] for matrix in recurrent]
    i, f, g, o = (gates[:, :, number] for number in range(4))
    tanh = jnp.tanh(states.cells.astype(jnp.float32))
    # The slopes of the gates: those of input, forget and new by the gradient of the cell, that of output by the state's.
    # At a step that is not valid they are 0, and state and cell hand their gradients on.
    slopes = jnp.stack(
        [g * i * (1 - i), step_before(states.cells) * f * (1 - f), i * (1 - g * g), tanh * o * (1 - o)], 2
    )
    slopes = keep_where(valid[:, :, None], slopes)
    to_cell, forget = keep_where(valid, o * (1 - tanh * tanh)), jnp.where(valid, f, 1)

    def step(carry: States, each: Any) -> tuple[States, Array]:
        pull, slopes, to_cell, forget, counts = each
        of_state = carry.states + pull.states
        of_cell = carry.cells + pull.cells + of_state * to_cell
        of_gates = slopes * jnp.stack([of_cell, of_cell, of_cell, of_state], 1)  # [B, 4, H]
        of_gates = of_gates.astype(states.states.dtype)
        parts = zip(_flat_apart(of_gates, sizes), recurrent, strict=True)
        back = [product("bg,gh->bh", part, matrix.T) for part, matrix in parts]
        return States(jnp.where(counts, jnp.concatenate(back, -1), of_state), of_cell * forget), of_gates

    nothing = States(*(jnp.zeros_like(each[0], jnp.float32) for each in states))
    _, of_gates = jax.lax.scan(step, nothing, (pull, slopes, to_cell, forget, valid), reverse=True)
    read = zip(apart(step_before(states.states), sizes), _flat_apart(of_gates, sizes), recurrent, strict=True)
    of_recurrent = tuple(product("tbh,tbg->hg", state, gate).astype(matrix.dtype) for state, gate, matrix in read)
    return of_gates, of_recurrent, None


_walk.defvjp(_remember, _backward)


def step_before(x: Array) -> Array:
    """[T, ...] -> the same one step earlier; zeros before the first."""
    return jnp.concatenate([jnp.zeros_like(x[:1]), x[:-1]])


def apart(x: Array, sizes: Sequence[int]) -> list[Array]:
    """[..., H] -> [..., h_m] of each LSTM."""
    ends = [sum(sizes[: number + 1]) for number in range(len(sizes))]
    return jnp.split(x, ends[:-1], axis=-1)


def _side_by_side(gates: Sequence[Array]) -> Array:
    """[..., 4 h_m] of each LSTM -> [..., 4, H]."""
    return jnp.concatenate([each.reshape(*each.shape[:-1], 4, -1) for each in gates], axis=-1)


def _flat_apart(gates: Array, sizes: Sequence[int]) -> list[Array]:
    """Undoes `_side_by_side`."""
    return [each.reshape(*each.shape[:-2], -1) for each in apart(gates, sizes)]


def _joined(recurrent: Sequence[Array]) -> Array:
    """[h_m, 4 h_m] of each LSTM -> [H, 4 H], the matrix of all as one."""
    sizes = [matrix.shape[0] for matrix in recurrent]
    rows, first = [], 0
    for size, matrix in zip(sizes, recurrent, strict=True):
        around = ((0, 0), (0, 0), (first, sum(sizes) - first - size))
        rows.append(jnp.pad(matrix.reshape(size, 4, size), around))
        first += size
    return jnp.concatenate(rows).reshape(sum(sizes), -1)
