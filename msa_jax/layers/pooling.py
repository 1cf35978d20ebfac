"""Which steps of sequences are valid, and means over them."""

from typing import cast

import chex
import jax
import jax.numpy as jnp
import numpy as np

from msa_jax.layers.functional import keep_where, take

Array = jax.Array


def valid_steps(length: Array, steps: int) -> Array:
    """[B] int32 in [0, L] -> [B, L, 1] bool, for sequences of L = `steps`: the steps before each length."""
    shape = len(length), steps, 1
    return jax.lax.broadcasted_iota(jnp.int32, shape, 1) < jnp.broadcast_to(length[:, None, None], shape)


def whole_length(rows: int, steps: int) -> Array:
    """[rows] int32: `steps` for each, for those who read padding too. It is a NumPy array, which is known while a program is
    being made; an LSTM walks such rows together."""
    return cast(Array, np.full(rows, steps, np.int32))


@jax.custom_batching.custom_vmap
def max_over_vmap(count: Array) -> Array:
    """The number itself; under `jax.vmap`, the largest of all; of an array, element by element.

    For conditions that only spare work: the steps to compute, not those to count. Were they to differ from run to run,
    both branches would be computed for each.
    """
    return count


@max_over_vmap.def_vmap
def _max_of_all_runs(size: int, batched: list[bool], counts: Array) -> tuple[Array, bool]:
    return max_over_vmap(counts.max(0)), False


def without_padding(x: Array, length: Array) -> Array:
    """x [B, L, d] with zeros from each length [B] on, whatever stood there."""
    return keep_where(valid_steps(length, x.shape[1]), x)


def last_step(x: Array, length: Array) -> Array:
    """x [B, L, d] at the last valid step of each sequence, [B, d]; at the first step where the length [B] is 0."""
    return take(x, jnp.arange(len(length)), jnp.maximum(length, 1) - 1)


def masked_mean(x: Array, length: Array) -> Array:
    """The mean over the valid steps of each sequence.

    Args:
      x: [B, L, D]; whatever stands at padding.
      length: [B] int32 in [0, L].

    Returns:
      [B, D], the dtype of `x`; zeros where the length is 0. The sum is taken in float32.
    """
    chex.assert_rank([x, length], [3, 1])
    total = without_padding(x, length).sum(1, dtype=jnp.float32)
    return (total / jnp.maximum(length, 1)[:, None]).astype(x.dtype)


def adaptive_mean(x: Array, length: Array, steps: int, target: Array) -> Array:
    """Each sequence averaged to another length.

    Step j of a sequence of n steps that becomes m steps is the mean of its steps floor(j n / m) to ceil((j + 1) n / m) - 1:
    adaptive average pooling as in torch.nn.AdaptiveAvgPool1d, for each sequence by its own lengths. Where n = m nothing
    changes; where n < m steps are repeated.

    Args:
      x: [B, L, D]; whatever stands at padding.
      length: [B] int32 in [0, L], n.
      steps: of the result, at least the max_over_vmap target.
      target: [B] int32 in [0, steps], m.

    Returns:
      [B, steps, D], the dtype of `x`; zeros from the target on, and where the length is 0.
    """
    chex.assert_rank([x, length, target], [3, 1, 1])
    j = jnp.arange(steps, dtype=jnp.int32)[None, :]
    n, m = (jnp.broadcast_to(each[:, None], (len(each), steps)).astype(jnp.int32) for each in (length, target))
    divisor = jnp.maximum(m, 1)  # of numbers that are not negative, so that rounding down is rounding towards 0
    first, last = jax.lax.div(j * n, divisor), jax.lax.div((j + 1) * n + divisor - 1, divisor)  # [B, steps]
    size = jnp.maximum(last - first, 1)
    step = jnp.arange(x.shape[1])[None, None, :]
    read = (step >= first[..., None]) & (step < last[..., None]) & (j < m)[..., None]  # [B, steps, L]
    share = keep_where(read, (1.0 / size)[..., None]).astype(x.dtype)
    return jnp.einsum("bjl,bld->bjd", share, without_padding(x, length))
