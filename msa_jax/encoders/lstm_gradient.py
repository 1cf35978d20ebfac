"""The recurrence of LSTMs over sequences of different lengths, and its gradient written by hand.

How it stays cheap. Steps are walked in chunks, and chunks beyond the longest sequence are never reached: the loop over them
has as many rounds as there are chunks with a step. On a CPU rows are sorted by length and dealt into groups of a few, each
walked for as long as its own longest row, so that a long row does not make short ones wait; rows that are known to have all
steps stay together. Both directions of a bidirectional LSTM are one batched product: the backward one reads every row reversed
within its length.

Elsewhere than on a CPU a step of few rows costs what one of many does, and a condition that the device computes makes the host
wait. So there is one group and one chunk of all steps, whose count is known. A round of the loop holds several steps, each of
one product and one kernel around it; what they give is put away once a round.

The gradient is written in reverse mode and once, which lets the loops have such trip counts. Kept from the forward pass are
states and cells, and if the plan says so the gates; otherwise the backward pass computes the gates of a chunk again in one
product. It walks the chunk with what depends on the step behind, and adds its part of the gradient of the weights, in one
product too.

In bfloat16 the frames, weights, states and cells that are kept have 8 bits. Cells, gates and the gradients that a step hands on
are float32: a forget gate near 1 would round to 1, and a cell would round at every step.

Several LSTMs that read sequences of their own can be walked in one loop too, as directions that all read forwards.

D is the number of directions, B of rows, G of groups, R of rows in each; T are the steps L, filled up to whole chunks.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from msa_jax.encoders.scan_plan import ScanPlan
from msa_jax.layers.functional import dynamic_part, keep_where, product, put_part, take
from msa_jax.layers.pooling import max_over_vmap

Array = jax.Array


class _Order(NamedTuple):
    """Where the rows are walked.

    length: [B], in the order of the caller, or [D, B] where each direction has a sequence of its own. walked: [G R], the
    lengths as they are walked, longest first. row: [G R], the row in each place; places behind the batch hold row 0 with
    length 0. place: [B], where each row is. Both are None where the order is the caller's, and then walked is length.
    """

    length: Array
    walked: Array
    row: Array | None
    place: Array | None

    @classmethod
    def of(cls, plan: ScanPlan, length: Array) -> "_Order":
        length = length.astype(jnp.int32)
        if plan.groups == 1:
            return cls(length, length, None, None)
        count = jnp.arange(len(length), dtype=jnp.int32)
        shortest, row = jax.lax.sort((-length, count), num_keys=1)
        _, place = jax.lax.sort((row, count), num_keys=1)
        beyond = (0, -len(length) % plan.groups)
        if any(beyond):
            shortest, row = jnp.pad(shortest, beyond), jnp.pad(row, beyond)
        return cls(length, -shortest, row, place)

    @property
    def apart(self) -> bool:
        """Whether each direction has a sequence of its own, which it reads forwards."""
        return self.length.ndim == 2

    def groups(self, plan: ScanPlan) -> tuple[Array, Array, Array]:
        """Of each group its first place [G], its lengths [G, D or 1, R] and the chunks [G] that reach beyond none of them."""
        length = self.walked.reshape(plan.groups, -1, self.walked.shape[-1] // plan.groups)
        first = np.arange(plan.groups, dtype=np.int32) * length.shape[2]
        if plan.chunk >= plan.steps:
            return jnp.asarray(first), length, jnp.ones(plan.groups, jnp.int32)
        longest = max_over_vmap(length.max((1, 2)))
        return jnp.asarray(first), length, jax.lax.div(longest + np.int32(plan.chunk - 1), np.int32(plan.chunk))


def _as_walked(plan: ScanPlan, x: Array, order: _Order, directions: int) -> Array:
    """x [B, L, d], the same for all directions, or [B, L, D, d] -> [T, D, G R, d], in the order in which each direction
    reads the steps; whatever stands behind each length."""
    if order.apart:
        x = jax.lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), (0, plan.padded - plan.steps, 0), (0, 0, 0), (0, 0, 0)))
        return x.transpose(1, 2, 0, 3)
    if directions == 1:
        x = x.reshape(*x.shape[:2], -1)
        x = x if order.row is None else take(x, order.row)
        x = jax.lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), (0, plan.padded - plan.steps, 0), (0, 0, 0)))
        return x.transpose(1, 0, 2)[:, None]
    step = np.arange(plan.padded, dtype=np.int32)[:, None, None]  # [T, 1, 1]
    step = _step_read(np.minimum(step, plan.steps - 1), order.walked[None, None])
    row = np.arange(x.shape[0], dtype=np.int32) if order.row is None else order.row
    row = jnp.broadcast_to(row[None, None], step.shape)
    if x.ndim == 3:
        return take(x, row, step)
    return take(x, row, step, np.broadcast_to(np.arange(directions, dtype=np.int32)[None, :, None], step.shape))


def _as_given(plan: ScanPlan, x: Array, order: _Order) -> Array:
    """x [T, D, G R, d] -> [B, L, D, d], undoing `_as_walked`; zeros behind each length."""
    directions, step = x.shape[1], np.arange(plan.steps, dtype=np.int32)
    if order.apart:
        valid = step[None, :, None] < order.length.T[:, None]  # [B, L, D]
        return keep_where(valid[..., None], x[: plan.steps].transpose(2, 0, 1, 3))
    if directions == 1:
        x = x[: plan.steps, 0].transpose(1, 0, 2)
        x = (x if order.place is None else take(x, order.place))[:, :, None]
    else:
        row = np.arange(x.shape[2], dtype=np.int32) if order.place is None else order.place
        walked = _step_read(step[None, None, :], order.length[:, None, None])  # [B, D, L]
        direction = np.arange(directions, dtype=np.int32)[None, :, None]
        every = (jnp.broadcast_to(index, walked.shape) for index in (walked, direction, row[:, None, None]))
        x = take(x, *(index.transpose(0, 2, 1) for index in every))
    return keep_where((step[None, :] < order.length[:, None])[:, :, None, None], x)


def _step_read(step: np.ndarray, length: Array) -> Array:
    """Which step both directions read in that round, along axis 1; between valid steps this is its own inverse."""
    back = jnp.maximum(length - 1 - step, 0)
    return jnp.concatenate([jnp.broadcast_to(step, back.shape), back], axis=1)


def _halves(like: Array) -> Array:
    """[..., 4h], a half for the gates that are sigmoids, 1 for the new values: sigmoid(x) is tanh(x / 2) / 2 + 1/2, so that
    one tanh serves all four."""
    halves = np.repeat([0.5, 0.5, 1.0, 0.5], like.shape[-1] // 4)
    return jnp.asarray(halves.reshape((1,) * (like.ndim - 1) + (-1,)), like.dtype)


def _gates(tanh: Array) -> tuple[Array, Array, Array, Array]:
    """tanh of scaled inputs [..., 4h] -> input, forget, new and output gate [..., h]."""
    i, f, g, o = jnp.split(tanh, 4, axis=-1)
    return 0.5 * i + 0.5, 0.5 * f + 0.5, g, 0.5 * o + 0.5


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def recurrence(plan: ScanPlan, sequence: Array, length: Array, weight: Array, bias: Array) -> Array:
    """The states of an LSTM.

    Args:
      plan: made for these shapes.
      sequence: [B, L, d], the same for all directions, or [B, L, D, d]; finite numbers stand at padding.
      length: [B] int32 in [0, L]; where each direction has a sequence of its own [D, B].
      weight: [D, d + h, 4h], of frames and states, gates in the order input, forget, new, output.
      bias: [D, 4h]. The second direction of one sequence reads from the last valid step to the first.

    Returns:
      The state each direction ends with [B, D h], zeros where the length is 0; or where plan.every those of every step
      [B, L, D h], zeros behind each length.
    """
    return _run(plan._replace(keep_gates=False), sequence, length, weight, bias, keep=plan.every)[0]


def _run(
    plan: ScanPlan, sequence: Array, length: Array, weight: Array, bias: Array, *, keep: bool
) -> tuple[Array, tuple[Array, _Order, Any]]:
    """What `recurrence` gives; and frames [T, D, G R, d], their order, and what `_forward` keeps."""
    order = _Order.of(plan, length)
    frames = _as_walked(plan, sequence, order, len(weight))
    last, kept = _forward(plan, frames, order, weight, bias, keep=keep)
    if plan.every:
        found = _as_given(plan, kept[0][1:], order)
        return found.reshape(*found.shape[:2], -1), (frames, order, kept)
    found = last.transpose(0, 2, 1, 3).reshape(frames.shape[2], -1)
    return found if order.place is None else take(found, order.place), (frames, order, kept)


def _forward(
    plan: ScanPlan, frames: Array, order: _Order, weight: Array, bias: Array, *, keep: bool
) -> tuple[Array, tuple[Array, Array, Array | None] | None]:
    """[T, D, G R, d] -> the last states [G, D, R, h] and, to keep, states and cells [T + 1, D, G R, h]: the zeros before the
    first step, then those behind each, of no meaning behind each length; and tanh of the scaled inputs of the gates
    [T, D, G R, 4h], float32, if they are kept."""
    _, directions, places, width = frames.shape
    hidden, rows = weight.shape[-1] // 4, places // plan.groups
    zeros = jnp.zeros((directions, rows, hidden), jnp.float32)
    recurrent = weight[:, width:]

    def group(kept: Any, each: tuple[Array, Array, Array]) -> tuple[Any, Array]:
        place, length, chunks = each

        def chunk(number: Array, carry: Any) -> Any:
            first = number * plan.chunk
            part = dynamic_part(frames, (first, 0, place, 0), (plan.chunk, directions, rows, width))
            # One product for all steps of the chunk leaves the recurrent one to each.
            part = (product("sdri,dio->sdro", part, weight[:, :width]) + bias[None, :, None]).astype(frames.dtype)
            if plan.kernel:
                keep_gates = carry[2] is not None and carry[2][2] is not None
                count = jnp.broadcast_to(length, (directions, rows))
                from msa_jax.encoders import lstm_kernel  # Pallas takes a third of a second to import

                state, *found = lstm_kernel.walk(part, recurrent, count, gates=keep_gates)
                if carry[2] is None:
                    return state, zeros, None
                states, cells = (put_part(x, new, (1, 0, 0, 0)) for x, new in zip(carry[2][:2], found[:2], strict=True))
                return state, zeros, (states, cells, found[2])

            def step(of_frame: Array, number: Array, state: Array, cell: Array) -> tuple[Array, Array, Array]:
                inputs = of_frame + product("dri,dio->dro", state, recurrent)
                tanh = jnp.tanh(_halves(inputs) * inputs)
                i, f, g, o = _gates(tanh)
                new_cell = f * cell + i * g
                valid = jnp.broadcast_to((number < length)[..., None], cell.shape)
                cell = jax.lax.select(valid, new_cell, cell)
                new_state = (o * jnp.tanh(new_cell)).astype(state.dtype)
                return *_whole(plan, (jax.lax.select(valid, new_state, state), cell)), tanh

            def some_steps(number: Array, carry: Any) -> Any:
                state, cell, kept = carry
                begin, found = number * plan.unrolled, []
                for each, of_frame in enumerate(_steps(plan, part, begin)):
                    state, cell, tanh = step(of_frame, first + begin + each, state, cell)
                    found.append((state, cell.astype(state.dtype), tanh))
                if kept is not None:
                    steps, gates = (first + begin, 0, place, 0), kept[2]
                    behind = (first + begin + 1, *steps[1:])
                    states, cells, tanh = (jnp.stack(each) for each in zip(*found, strict=True))
                    gates = None if gates is None else put_part(gates, tanh, steps)
                    kept = put_part(kept[0], states, behind), put_part(kept[1], cells, behind), gates
                return state, cell, kept

            return jax.lax.fori_loop(0, plan.chunk // plan.unrolled, some_steps, carry)

        state, _, kept = _walk_chunks(plan, chunks, chunk, (zeros.astype(frames.dtype), zeros, kept))
        return kept, state

    kept = None
    if keep:
        each = jnp.zeros((plan.padded + 1, directions, places, hidden), frames.dtype)
        gates = jnp.zeros((plan.padded, directions, places, 4 * hidden), jnp.float32) if plan.keep_gates else None
        kept = each, each, gates
    kept, last = jax.lax.scan(group, kept, order.groups(plan))
    return last, kept


def _walk_chunks(plan: ScanPlan, chunks: Array, chunk: Callable[[Array, Any], Any], carry: Any) -> Any:
    """That many chunks one after the other; where one holds all steps it is walked in any case."""
    return chunk(jnp.int32(0), carry) if plan.chunk >= plan.steps else jax.lax.fori_loop(0, chunks, chunk, carry)


def _steps(plan: ScanPlan, x: Array, begin: Array) -> list[Array]:
    """x [S, ...] -> those of the steps of one round, which begins there."""
    part = dynamic_part(x, (begin,) + (0,) * (x.ndim - 1), (plan.unrolled, *x.shape[1:]))
    return [part[each] for each in range(plan.unrolled)]


def _whole(plan: ScanPlan, found: Any) -> Any:
    """What a step gives, computed once, in one kernel, and not again for each of the steps that follow in its round."""
    return found if plan.unrolled == 1 else jax.lax.optimization_barrier(found)


def _remember(plan: ScanPlan, *primals: Any) -> tuple[Array, Any]:
    """`recurrence`, and what its backward pass needs."""
    sequence, length, weight, bias = (primal.value for primal in primals)
    found, kept = _run(plan, sequence, length, weight, bias, keep=True)
    wanted = () if primals[0].perturbed else None  # a sequence that is data needs no gradient
    return found, (*kept, weight, bias, wanted)


def _backward(plan: ScanPlan, saved: Any, pull: Array) -> tuple[Array | None, None, Array, Array]:
    """The gradients of sequence, weight and bias; pull: that of what `recurrence` gives."""
    frames, order, (states, cells, gates), weight, bias, wanted = saved
    _, directions, places, width = frames.shape
    hidden, rows = weight.shape[-1] // 4, places // plan.groups
    zeros = jnp.zeros((directions, rows, hidden), jnp.float32)
    turned = weight[:, width:].swapaxes(1, 2)
    # Elsewhere than on a CPU one array holds what a step hands on, so that one kernel gives it: four gradients of the gates and
    # that of the cell, by which the product takes nothing.
    joined = plan.unrolled > 1
    turned = jnp.pad(turned, ((0, 0), (0, hidden), (0, 0))) if joined else turned
    if plan.every:
        pull = _as_walked(plan, pull.reshape(*pull.shape[:2], directions, hidden), order, directions)
    else:
        pull = pull if order.row is None else take(pull, order.row)
        pull = pull.reshape(1, places, directions, hidden).transpose(0, 2, 1, 3)

    def group(sums: Any, each: tuple[Array, Array, Array]) -> tuple[Any, None]:
        place, length, chunks = each

        def add(first: Array, read: Array, d_gates: Array, sums: Any) -> Any:
            d_weight, d_bias, d_frames = sums
            d_weight += product("sdri,sdro->dio", read, d_gates)
            d_bias += d_gates.sum((0, 2), dtype=jnp.float32)
            if d_frames is not None:
                of_frames = jnp.einsum("sdro,dio->sdri", d_gates, weight[:, :width])
                d_frames = put_part(d_frames, of_frames, (first, 0, place, 0))
            return d_weight, d_bias, d_frames

        def chunk(number: Array, carry: Any) -> Any:
            d_state, d_cell, sums = carry
            first = (chunks - 1 - number) * plan.chunk

            def part(x: Array, first: Array | int, steps: int) -> Array:
                return dynamic_part(x, (first, 0, place, 0), (steps, directions, rows, x.shape[-1]))

            old_states = part(states, first, plan.chunk)
            of_cells = part(cells, first, plan.chunk + 1).astype(jnp.float32)
            old_cells, tanh_cells = of_cells[:-1], jnp.tanh(of_cells[1:])
            read = jnp.concatenate([part(frames, first, plan.chunk), old_states], -1)
            if gates is None:
                inputs = product("sdri,dio->sdro", read, weight) + bias[None, :, None]
                tanh = jnp.tanh(_halves(inputs) * inputs)
            else:
                tanh = part(gates, first, plan.chunk)
            halves = _halves(tanh)
            i, f, g, o = _gates(tanh)
            # Steps to the end, [S, D or 1, R, 1].
            left = (length[None] - first - np.arange(plan.chunk, dtype=np.int32)[:, None, None])[..., None]
            # The end state is that of the last valid step, so that is where its gradient comes in. Behind it nothing does:
            # with no gradient and slopes of 0 a step at padding hands on zeros.
            if plan.every:
                pulled = keep_where(left > 0, part(pull, first, plan.chunk))
            else:
                pulled = keep_where(left == 1, part(pull, 0, 1))
            slopes = halves**2 * (1 - tanh**2) * jnp.concatenate([g, old_cells, i, tanh_cells], -1)
            slopes = keep_where(left > 0, slopes)
            slopes = jnp.concatenate([slopes, f], -1) if joined else slopes
            steps = pulled, o * (1 - tanh_cells**2), slopes, f
            if plan.kernel:
                from msa_jax.encoders import lstm_kernel

                count = jnp.broadcast_to(length, (directions, rows))
                return None, None, add(first, read, lstm_kernel.walk_back(*steps, weight[:, width:], count), sums)

            def step(each: Sequence[Array], d_state: Array, d_cell: Array) -> tuple[Array, Array, Array]:
                pulled, to_cell, slopes, forget = each
                d_state = d_state + pulled
                d_cell = d_cell + d_state * to_cell
                own = slopes * jnp.concatenate([d_cell, d_cell, d_cell, d_state] + [d_cell] * joined, -1)
                own, rounded = _whole(plan, (own, own.astype(frames.dtype)))
                d_cell = own[..., 4 * hidden :] if joined else d_cell * forget
                return product("dro,doi->dri", rounded, turned), d_cell, rounded

            def some_steps(number: Array, carry: Any) -> Any:
                d_state, d_cell, d_gates = carry
                begin, found = plan.chunk - (number + 1) * plan.unrolled, []
                for each in reversed(list(zip(*(_steps(plan, x, begin) for x in steps), strict=True))):
                    d_state, d_cell, own = step(each, d_state, d_cell)
                    found.insert(0, own)
                return d_state, d_cell, put_part(d_gates, jnp.stack(found), (begin, 0, 0, 0))

            nothing = d_state, d_cell, jnp.zeros_like(slopes, frames.dtype)
            d_state, d_cell, d_gates = jax.lax.fori_loop(0, plan.chunk // plan.unrolled, some_steps, nothing)
            d_gates = d_gates[..., : 4 * hidden] if joined else d_gates
            return d_state, d_cell, add(first, read, d_gates, sums)

        return _walk_chunks(plan, chunks, chunk, (zeros, zeros, sums))[2], None

    d_frames = None if wanted is None else jnp.zeros_like(frames)
    sums = jnp.zeros(weight.shape, jnp.float32), jnp.zeros(bias.shape, jnp.float32), d_frames
    (d_weight, d_bias, d_frames), _ = jax.lax.scan(group, sums, order.groups(plan))
    d_sequence = None
    if wanted is not None:
        d_sequence = _as_given(plan, d_frames, order)
        d_sequence = d_sequence if order.apart else d_sequence.sum(2)
    return d_sequence, None, d_weight.astype(weight.dtype), d_bias.astype(bias.dtype)


recurrence.defvjp(_remember, _backward, symbolic_zeros=True)
