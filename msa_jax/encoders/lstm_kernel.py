"""All time steps of LSTMs in one kernel of a GPU, forwards and backwards: `msa_jax.encoders.lstm_gradient` for a loop.

A block of rows walks its steps by itself, as many as its longest sequence has, with states, cells and the recurrent matrix held
on the chip. The kernels are written in Pallas and compiled by Triton; on a CPU they are interpreted, which is slow and for
tests.

S is the number of steps, D of directions, B of rows, h the size of an LSTM.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from msa_jax.errors import InputError

Array = jax.Array

ROWS = 16  # of a block; Triton multiplies no smaller matrices, and only those whose sides are powers of 2
HELD = 2**17  # bytes of a recurrent matrix, which stays in the memory that a block shares


def walk(inputs: Array, recurrent: Array, length: Array, *, gates: bool) -> tuple[Array, Array, Array, Array | None]:
    """The states of LSTMs that begin with zeros, gates in the order input, forget, new, output.

    Args:
      inputs: [S, D, B, 4h], what the gates have from outside.
      recurrent: [D, h, 4h].
      length: [D, B] int32 in [0, S].
      gates: give those too.

    Returns:
      The state that each row ends with [D, B, h], zeros where the length is 0; states and cells behind each step
      [S, D, B, h]; and tanh of the scaled inputs of the gates [S, D, B, 4h], float32, or None. Behind each length they mean
      nothing.

    Raises:
      InputError: the recurrent matrix is too large to be held, or the device is no GPU.
    """
    steps, directions, rows, width = inputs.shape
    hidden, dtype = width // 4, inputs.dtype
    parts, matrices = _parts(inputs), _whole_sides(_by_gate(recurrent))
    if matrices[0].size * matrices.dtype.itemsize > HELD:
        raise InputError(f"an LSTM of {hidden} units in {dtype} is too large for one kernel; walk it with lstm scan")
    blocks, size = parts.shape[3] // ROWS, parts.shape[4]
    of_steps = pl.BlockSpec((steps, None, ROWS, size), lambda direction, block: (0, direction, block, 0))
    of_gates = pl.BlockSpec((steps, None, 4, ROWS, size), lambda direction, block: (0, direction, 0, block, 0))
    end = pl.BlockSpec((None, ROWS, size), lambda direction, block: (direction, block, 0))
    shape = (steps, directions, blocks * ROWS, size)
    out = [jax.ShapeDtypeStruct(each, dtype) for each in (shape[1:], shape, shape)]
    out += [jax.ShapeDtypeStruct(parts.shape, jnp.float32)] if gates else []
    found = _call(
        partial(_forward, steps),
        grid=(directions, blocks),
        in_specs=[_of_rows(), of_gates, _of_matrices(size)],
        out_specs=[end, of_steps, of_steps, *([of_gates] if gates else [])],
        out_shape=out,
    )(_whole_rows(length), parts, matrices)
    last, states, cells = (each[..., :rows, :hidden] for each in found[:3])
    return last, states, cells, _joined(found[3], rows, hidden) if gates else None


def walk_back(pulled: Array, to_cell: Array, slopes: Array, forget: Array, recurrent: Array, length: Array) -> Array:
    """The gradients of what the gates have from outside.

    Args:
      pulled: [S, D, B, h], the gradient of the state behind each step that comes from elsewhere than the next step.
      to_cell: [S, D, B, h], what a cell's gradient has of its state's.
      slopes: [S, D, B, 4h], those of the gates; zeros behind each length, as in `pulled`.
      forget: [S, D, B, h], the forget gate; float32, as slopes and to_cell are: in bfloat16 one near 1 would be 1.
      recurrent, length: as of `walk`.

    Returns:
      [S, D, B, 4h] in the dtype of `recurrent`, zeros behind each length.
    """
    steps, directions, rows, hidden = pulled.shape
    matrices = _whole_sides(_by_gate(recurrent).swapaxes(2, 3))
    parts = _parts(slopes)
    blocks, size = parts.shape[3] // ROWS, parts.shape[4]
    of_steps = pl.BlockSpec((steps, None, ROWS, size), lambda direction, block: (0, direction, block, 0))
    of_gates = pl.BlockSpec((steps, None, 4, ROWS, size), lambda direction, block: (0, direction, 0, block, 0))
    found = _call(
        partial(_backward, steps),
        grid=(directions, blocks),
        in_specs=[_of_rows(), of_steps, of_steps, of_gates, of_steps, _of_matrices(size)],
        out_specs=of_gates,
        out_shape=jax.ShapeDtypeStruct(parts.shape, recurrent.dtype),
    )(_whole_rows(length), *(_whole(each) for each in (pulled, to_cell)), parts, _whole(forget), matrices)
    return _joined(found, rows, hidden)


# -- the kernels: refs are of one direction and one block of rows -------------------------------------------------------


def _forward(steps: int, length: Any, inputs: Any, matrices: Any, last: Any, states: Any, cells: Any, *gates: Any):
    count, dtype = length[...], inputs.dtype
    weights = [matrices[gate] for gate in range(4)]

    def step(number: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        state, cell = carry
        tanh = []
        for gate, weight in enumerate(weights):
            given = inputs[number, gate].astype(jnp.float32) + _product(state.astype(dtype), weight)
            tanh.append(jnp.tanh(given * (1.0 if gate == 2 else 0.5)))
        i, f, g, o = (x if gate == 2 else 0.5 * x + 0.5 for gate, x in enumerate(tanh))
        new = f * cell + i * g
        valid = jnp.broadcast_to((number < count)[:, None], cell.shape)
        cell, state = jnp.where(valid, new, cell), jnp.where(valid, o * jnp.tanh(new), state)
        for ref in gates:
            for gate, x in enumerate(tanh):
                ref[number, gate] = x
        states[number], cells[number] = state.astype(dtype), cell.astype(dtype)
        return state, cell

    zeros = jnp.zeros(last.shape, jnp.float32)
    state, _ = jax.lax.fori_loop(0, jnp.max(count), step, (zeros, zeros))
    last[...] = state.astype(dtype)

    def nothing(number: Array, carry: None) -> None:
        states[number], cells[number] = zeros.astype(dtype), zeros.astype(dtype)
        for ref in gates:
            for gate in range(4):
                ref[number, gate] = zeros

    jax.lax.fori_loop(jnp.max(count), steps, nothing, None)


def _backward(
    steps: int, length: Any, pulled: Any, to_cell: Any, slopes: Any, forget: Any, matrices: Any, found: Any
) -> None:
    longest, dtype = jnp.max(length[...]), found.dtype
    weights = [matrices[gate] for gate in range(4)]
    zeros = jnp.zeros(pulled.shape[1:], jnp.float32)

    def step(number: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        d_state, d_cell = carry
        number = longest - 1 - number
        d_state = d_state + pulled[number].astype(jnp.float32)
        d_cell = d_cell + d_state * to_cell[number].astype(jnp.float32)
        before = zeros
        for gate, weight in enumerate(weights):
            own = slopes[number, gate].astype(jnp.float32) * (d_state if gate == 3 else d_cell)
            found[number, gate] = own.astype(dtype)
            before = before + _product(own.astype(dtype), weight)
        return before, d_cell * forget[number].astype(jnp.float32)

    jax.lax.fori_loop(0, longest, step, (zeros, zeros))

    def nothing(number: Array, carry: None) -> None:
        for gate in range(4):
            found[number, gate] = zeros.astype(dtype)

    jax.lax.fori_loop(longest, steps, nothing, None)


def _product(x: Array, matrix: Array) -> Array:
    """[B, i], [i, o] -> [B, o] float32; float32 is not rounded to TF32."""
    return jnp.dot(x, matrix, preferred_element_type=jnp.float32, precision=jax.lax.Precision.HIGHEST)


# -- around them ------------------------------------------------------------------------------------------------------


def _call(kernel: Callable[..., None], **named: Any) -> Callable[..., Any]:
    backend = jax.default_backend()
    if backend not in ("cpu", "gpu"):
        raise InputError(f"lstm kernel is written for a GPU; this is {backend}: walk the steps with lstm scan")
    return pl.pallas_call(
        kernel, interpret=backend == "cpu", compiler_params=triton.CompilerParams(num_warps=4, num_stages=1), **named
    )


def _of_rows() -> pl.BlockSpec:
    return pl.BlockSpec((None, ROWS), lambda direction, block: (direction, block))


def _of_matrices(size: int) -> pl.BlockSpec:
    return pl.BlockSpec((None, 4, size, size), lambda direction, block: (direction, 0, 0, 0))


def _by_gate(matrix: Array) -> Array:
    """[D, h, 4h] -> [D, 4, h, h]."""
    directions, hidden, _ = matrix.shape
    return matrix.reshape(directions, hidden, 4, hidden).swapaxes(1, 2)


def _parts(x: Array) -> Array:
    """[S, D, B, 4h] -> [S, D, 4, whole blocks of rows, whole side]."""
    return _whole(x.reshape(*x.shape[:3], 4, -1).swapaxes(2, 3))


def _joined(x: Array, rows: int, hidden: int) -> Array:
    """Undoes `_parts`."""
    x = x[..., :rows, :hidden].swapaxes(2, 3)
    return x.reshape(*x.shape[:3], -1)


def _whole(x: Array) -> Array:
    """[..., B, h] with zeros up to whole blocks of rows and a whole side."""
    rows, size = x.shape[-2:]
    return jnp.pad(x, [(0, 0)] * (x.ndim - 2) + [(0, -rows % ROWS), (0, _side(size) - size)])


def _whole_rows(length: Array) -> Array:
    """[D, B], with rows of no step up to whole blocks."""
    return jnp.pad(length, ((0, 0), (0, -length.shape[1] % ROWS)))


def _whole_sides(matrices: Array) -> Array:
    """[..., h, h] with zeros up to whole sides."""
    more = _side(matrices.shape[-1]) - matrices.shape[-1]
    return jnp.pad(matrices, [(0, 0)] * (matrices.ndim - 2) + [(0, more), (0, more)])


def _side(size: int) -> int:
    return max(ROWS, 2 ** math.ceil(math.log2(size)))
