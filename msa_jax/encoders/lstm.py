"""LSTMs over sequences of different lengths, of one direction, of both, or stacked: end states, or those of every step."""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax.encoders.lstm_gradient import recurrence
from msa_jax.encoders.scan_plan import ScanPlan
from msa_jax.layers.dense import uniform
from msa_jax.layers.dropout import drop, mask_key
from msa_jax.layers.pooling import last_step

Array = jax.Array
Initializer = nn.initializers.Initializer


class LSTM(nn.Module):
    """The state after the last valid step of each sequence (Hochreiter and Schmidhuber 1997), or that of every step.

    Steps beyond a sequence's length leave its state as it is, so padding never changes a result, provided that finite
    numbers stand there. As in torch.nn.LSTM the parameters start uniform in ±1/sqrt(hidden), gates are in the order input,
    forget, cell, output, and there are two bias vectors: they add up in the forward pass, but under Adam two equal biases
    move twice as far as one. How steps are walked, and the gradient: msa_jax.encoders.lstm_gradient.

    every: give the state of every step. kernel: one kernel of a GPU walks all steps (msa_jax.encoders.lstm_kernel).
    kernel_init, recurrent_init: how the matrix of the input [d, 4h] and that of the state [h, 4h] start, all gates side by
    side; bias_init: how both biases do; None is uniform, as above.

    Parameters: `input` [d, 4h], `recurrent` [h, 4h], `input_bias` [4h], `recurrent_bias` [4h].
    """

    hidden: int
    dtype: jnp.dtype = jnp.float32
    every: bool = False
    kernel_init: Initializer | None = None
    recurrent_init: Initializer | None = None
    bias_init: Initializer | None = None
    kernel: bool = False

    @nn.compact
    def __call__(self, sequence: Array, length: Array) -> Array:
        """[B, L, d], [B] int32 in [0, L] -> [B, hidden], zeros where the length is 0; with `every` [B, L, hidden], zeros at
        padding."""
        weight, bias = _make_params(self, sequence.shape[-1], self.bias_init)
        return _walk(self, sequence, length, weight[None], bias[None])


class BidirectionalLSTM(nn.Module):
    """The states of every step, read forwards and backwards (Schuster and Paliwal 1997; torch.nn.LSTM's bidirectional).

    The backward direction starts at the last valid step of each sequence, so padding never changes a result. Cell and
    start are those of `LSTM`, and so are `kernel_init` and `recurrent_init`.

    every: give the states of every step; False gives the end states alone, `end_states` of them, without keeping the others.
    kernel: as of `LSTM`.

    Parameters: `forward` and `backward`, each with those of `LSTM`.
    """

    hidden: int
    dtype: jnp.dtype = jnp.float32
    every: bool = True
    kernel_init: Initializer | None = None
    recurrent_init: Initializer | None = None
    kernel: bool = False

    @nn.compact
    def __call__(self, sequence: Array, length: Array) -> Array:
        """[B, L, d], [B] int32 in [0, L] -> [B, L, 2 hidden], forward and backward state, zeros at padding; without `every`
        [B, 2 hidden], zeros where the length is 0."""
        given = self.hidden, self.dtype, self.kernel_init, self.recurrent_init
        both = [_Direction(*given, name=name)(sequence.shape[-1]) for name in ("forward", "backward")]
        weights, biases = zip(*both, strict=True)
        return _walk(self, sequence, length, jnp.stack(weights), jnp.stack(biases))


class StackedLSTM(nn.Module):
    """LSTMs on top of each other: the first reads the sequence, each other one the states of the one below (torch.nn.LSTM's
    num_layers). It gives the state of the last one after the last valid step.

    Cell and start are those of `LSTM`. All layers but the first have one shape; one loop walks them.

    layers: how many. dropout: of the states that a layer hands to the next, as in torch.nn.LSTM; the last layer's stay.

    Parameters: `layer_0`, `layer_1`, ... with those of `LSTM`.
    """

    hidden: int
    layers: int
    dropout: float | Array = 0.0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, sequence: Array, length: Array, *, train: bool) -> Array:
        """[B, L, d], [B] int32 in [0, L] -> [B, hidden], zeros where the length is 0."""
        widths = (sequence.shape[-1], *(self.hidden,) * (self.layers - 1))
        made = [
            _Direction(self.hidden, self.dtype, name=f"layer_{number}")(width) for number, width in enumerate(widths)
        ]
        weights, biases = ([each[None] for each in of] for of in zip(*made, strict=True))
        plan = ScanPlan.of(sequence, length, every=self.layers > 1)
        length = jnp.asarray(length)
        states = recurrence(plan, sequence.astype(self.dtype), length, weights[0], biases[0])
        if self.layers == 1:
            return states
        never = isinstance(self.dropout, int | float) and self.dropout == 0  # a traced rate is not known to be 0
        keys = None
        if train and not never:
            keys = jax.random.split(mask_key(self.make_rng("dropout")), self.layers - 1)

        def layer(states: Array, each: tuple[Array, Array, Array | None]) -> tuple[Array, None]:
            weight, bias, key = each
            states = states if key is None else drop(key, states, self.dropout)
            return recurrence(plan, states, length, weight, bias), None

        states, _ = jax.lax.scan(layer, states, (jnp.stack(weights[1:]), jnp.stack(biases[1:]), keys))
        return last_step(states, length)


class _Direction(nn.Module):
    """The parameters of one direction or layer, not yet applied: several are walked in one loop."""

    hidden: int
    dtype: jnp.dtype
    kernel_init: Initializer | None = None
    recurrent_init: Initializer | None = None

    @nn.compact
    def __call__(self, width: int) -> tuple[Array, Array]:
        return _make_params(self, width)


def _make_params(module: LSTM | _Direction, width: int, bias_init: Initializer | None = None) -> tuple[Array, Array]:
    """Makes a direction's parameters in `module`: one matrix [width + h, 4h] and one bias [4h] in its dtype."""
    init, hidden = uniform(module.hidden**-0.5), module.hidden
    kernel = module.param("input", module.kernel_init or init, (width, 4 * hidden), jnp.float32)
    recurrent = module.param("recurrent", module.recurrent_init or init, (hidden, 4 * hidden), jnp.float32)
    bias_init = bias_init or init
    bias = module.param("input_bias", bias_init, (4 * hidden,), jnp.float32)
    bias = bias + module.param("recurrent_bias", bias_init, (4 * hidden,), jnp.float32)
    return jnp.concatenate([kernel, recurrent]).astype(module.dtype), bias.astype(module.dtype)


def end_states_of_several(
    hidden: Mapping[str, int],
    sequences: Mapping[str, Array],
    length: Mapping[str, Array],
    dtype: jnp.dtype = jnp.float32,
    *,
    together: bool | None = None,
    kernel: bool = False,
) -> dict[str, Array]:
    """The states that several LSTMs end with, each reading a sequence of its own; in a module it makes an `LSTM` of each name.

    Args:
      hidden: {name: h}.
      sequences, length: {name: [B, L, d]}, {name: [B] int32 in [0, L]}; L and d may differ.
      dtype: as of `LSTM`.
      together: walk them in one loop, with zeros between the smaller ones and the largest. None: where that is quicker, which
        is on anything but a CPU: a step there costs what its operations count, not how large they are.
      kernel: as of `LSTM`; then each is walked by itself.

    Returns:
      {name: [B, h]}, the results of the LSTMs one by one, up to rounding.
    """
    together = jax.default_backend() != "cpu" if together is None else together
    if not together or kernel or len(hidden) < 2:
        modules = {name: LSTM(size, dtype, kernel=kernel, name=name) for name, size in hidden.items()}
        return {name: module(sequences[name], length[name]) for name, module in modules.items()}
    made = [_Direction(size, dtype, name=name)(sequences[name].shape[-1]) for name, size in hidden.items()]
    frames = [sequences[name].astype(dtype) for name in hidden]
    steps, width = (max(each.shape[axis] for each in frames) for axis in (1, 2))
    frames = [jnp.pad(x, ((0, 0), (0, steps - x.shape[1]), (0, width - x.shape[2]))) for x in frames]
    largest = max(hidden.values())
    weights = [
        _grow_weight(weight, size, width, largest) for (weight, _), size in zip(made, hidden.values(), strict=True)
    ]
    biases = [_grow_gates(bias, size, largest) for (_, bias), size in zip(made, hidden.values(), strict=True)]
    # Rows are not sorted by length: each sequence has lengths of its own.
    lengths = jnp.stack([jnp.asarray(length[name]) for name in hidden])
    plan = ScanPlan.of(frames[0], lengths, every=False)._replace(groups=1)
    states = recurrence(plan, jnp.stack(frames, 2), lengths, jnp.stack(weights), jnp.stack(biases))
    states = states.reshape(len(states), len(hidden), largest)
    return {name: states[:, number, :size] for number, (name, size) in enumerate(hidden.items())}


def _grow_weight(weight: Array, hidden: int, width: int, largest: int) -> Array:
    """[d + h, 4h] -> [width + largest, 4 largest], with zeros where there was nothing. A unit of zeros stays 0."""
    weight = _grow_gates(weight, hidden, largest)
    frames, states = jnp.split(weight, [weight.shape[0] - hidden])
    return jnp.concatenate([_with_zeros(frames, width), _with_zeros(states, largest)])


def _grow_gates(x: Array, hidden: int, largest: int) -> Array:
    """[..., 4h] -> [..., 4 largest]."""
    gates = x.reshape(*x.shape[:-1], 4, hidden)
    gates = jnp.pad(gates, [(0, 0)] * (gates.ndim - 1) + [(0, largest - hidden)])
    return gates.reshape(*x.shape[:-1], -1)


def _with_zeros(x: Array, rows: int) -> Array:
    """[r, n] -> [rows, n]."""
    return jnp.pad(x, ((0, rows - len(x)), (0, 0)))


def end_states(states: Array, length: Array) -> Array:
    """What each direction of a `BidirectionalLSTM` ends with: the forward one at the last valid step, the backward one at
    the first.

    Args:
      states: [B, L, 2h], zeros at padding.
      length: [B] int32 in [0, L].

    Returns:
      [B, 2h]; zeros where the length is 0.
    """
    forward, backward = jnp.split(states, 2, axis=-1)
    return jnp.concatenate([last_step(forward, length), backward[:, 0]], axis=-1)


def _walk(module: LSTM | BidirectionalLSTM, sequence: Array, length: Array, weight: Array, bias: Array) -> Array:
    plan = ScanPlan.of(sequence, length, every=module.every, kernel=module.kernel)
    return recurrence(plan, sequence.astype(module.dtype), jnp.asarray(length), weight, bias)
