"""GRUs over sequences of different lengths, in both directions and on top of each other."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax.layers.dense import uniform
from msa_jax.layers.functional import product
from msa_jax.layers.pooling import valid_steps, without_padding

Array = jax.Array


class BidirectionalGRU(nn.Module):
    """The states of every step of the last of some GRUs, each of which reads the states of the one below (Cho et al. 2014).

    As torch.nn.GRU over packed sequences: the backward direction starts at the last valid step, so padding changes nothing.
    Gates are in the order reset, update, new; there are two bias vectors, and all parameters start uniform in ±1/sqrt(hidden).

    hidden: of each direction. layers: how many.

    Parameters, of each direction in a leading axis, forward first: `layer_0`, ... with `input` [2, d, 3h], `recurrent`
    [2, h, 3h], `input_bias` [2, 3h], `recurrent_bias` [2, 3h].

    In bfloat16 the state that a step hands on is float32 all the same, and so are the gates: an update gate near 1 would round
    to 1. The gradient of what every step reads adds up in float32, as the cast is within the step.
    """

    hidden: int
    layers: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, length: Array) -> Array:
        """[B, L, d], [B] int32 in [0, L] -> [B, L, 2h], forward and backward state, zeros at padding."""
        for number in range(self.layers):
            x = without_padding(x.astype(self.dtype), length)
            x = _Layer(self.hidden, self.dtype, name=f"layer_{number}")(x, length)
        return without_padding(x, length)


class _Layer(nn.Module):
    """One GRU in both directions, which one loop walks: the backward one reads the sequence from behind."""

    hidden: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Array, length: Array) -> Array:
        """[B, L, d], [B] -> [B, L, 2h]; what stands at padding has no meaning."""
        rows, steps, width = x.shape
        start, gates = uniform(self.hidden**-0.5), 3 * self.hidden
        weight = self.param("input", start, (2, width, gates)).astype(self.dtype)
        recurrent = self.param("recurrent", start, (2, self.hidden, gates))
        bias, of_state = (self.param(name, start, (2, gates))[:, None] for name in ("input_bias", "recurrent_bias"))
        valid = jnp.broadcast_to(valid_steps(length, steps).transpose(1, 0, 2)[:, None], (steps, 2, rows, 1))
        read = (product("bld,xdg->lxbg", x, weight) + bias[None]).astype(self.dtype)

        def from_behind(each: Array) -> Array:
            return jnp.stack([each[:, 0], each[::-1, 1]], axis=1)

        def step(state: Array, given: tuple[Array, Array]) -> tuple[Array, Array]:
            read, valid = given  # [2, B, 3h], [2, B, 1]
            reset, update, new = jnp.split(read, 3, axis=-1)
            own = product("xbh,xhg->xbg", state.astype(self.dtype), recurrent.astype(self.dtype))
            own = jnp.split(own + of_state, 3, axis=-1)
            reset, update = nn.sigmoid(reset + own[0]), nn.sigmoid(update + own[1])
            new = jnp.tanh(new + reset * own[2])
            state = jnp.where(valid, (1 - update) * new + update * state, state)
            return state, state.astype(self.dtype)

        nothing = jnp.zeros((2, rows, self.hidden), jnp.float32)
        _, states = jax.lax.scan(step, nothing, (from_behind(read), from_behind(valid)))
        forward, backward = from_behind(states).transpose(1, 2, 0, 3)
        return jnp.concatenate([forward, backward], axis=-1)
