"""Float32 at least, unit vectors, and sums of exponentials over the entries that are there.

No gradient is infinite or NaN where there is nothing: at zero vectors and empty masks.
"""

from functools import partial
from typing import Any

import chex
import jax
import jax.numpy as jnp

Array = jax.Array

SMALLEST = 1e-12  # a vector without any larger entry has no direction, where gradients are asked for


def at_least_float32(x: Array) -> Array:
    """x in float32, or in its own type if that is wider: a sum in bfloat16 has three digits."""
    x = jnp.asarray(x)
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def l2_normalise(x: Array, axis: int = -1, *, smallest: float = SMALLEST) -> Array:
    """x / ||x||.

    A vector of nothing but zeros, up to `smallest`, has no direction: its value is 0, so that its cosine with anything is
    0, and no gradient flows into it. A vector that is not finite stays so: nothing is hidden.

    Args:
      x: any shape; float16 and bfloat16 are computed and returned in float32.
      axis: the axis along which a vector lies.
      smallest: the largest absolute entry up to which a vector has no direction.

    Returns:
      The shape of x; unit length along the axis.
    """
    # Jitted: a program holds the function once for each shape, however many losses call it.
    return jax.jit(_unit, static_argnums=(1, 2))(at_least_float32(x), axis, smallest)


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _unit(x: Array, axis: int, smallest: float) -> Array:
    return _unit_parts(x, axis, smallest)[0]


def _unit_parts(x: Array, axis: int, smallest: float) -> tuple[Array, Array, Array, Array]:
    """The unit vector, and what makes it: where there is none, the largest entry, and the length over that."""
    largest = jnp.max(jnp.abs(x), axis=axis, keepdims=True)
    none = largest <= smallest
    largest = jnp.where(none, 1.0, largest)
    scaled = x / largest  # so that no square overflows
    length = jnp.where(none, 1.0, jnp.sqrt(jnp.sum(scaled * scaled, axis=axis, keepdims=True)))
    return jnp.where(none, 0.0, scaled / length), none, largest, length


@_unit.defjvp
def _unit_jvp(axis: int, smallest: float, given: tuple[Array], along: tuple[Array]) -> tuple[Array, Array]:
    unit, none, largest, length = _unit_parts(*given, axis, smallest)
    change = along[0] / largest / length
    change = change - unit * jnp.sum(unit * change, axis=axis, keepdims=True)
    return unit, jnp.where(none, 0.0, change)


def unit_rows(x: Array, where: Array) -> Array:
    """[B, d] -> unit vectors [B, d]; zeros if `where` [B] is False, whatever stood there."""
    return l2_normalise(jnp.where(where[:, None], x, 0.0))


def log_sum_exp(x: Array, where: Array) -> Array:
    """log(sum(exp(x))) along the last axis over the entries that are there.

    Args:
      x: [..., K], K >= 0; finite also where it does not count.
      where: [..., K] bool.

    Returns:
      [...], without overflow for x of any size; -inf, with gradient 0, where no entry is there.
    """
    chex.assert_equal_shape([x, where])
    return jax.jit(_log_sum_exp)(x, where)


@jax.custom_jvp
def _log_sum_exp(x: Array, where: Array) -> Array:
    return _log_sum_exp_parts(x, where)[0]


def _log_sum_exp_parts(x: Array, where: Array) -> tuple[Array, Array, Array]:
    """The logarithm; the exponentials, 0 where no entry is, over that of the largest entry; their sum, 1 without any."""
    none = ~jnp.any(where, axis=-1)
    largest = jnp.where(none, 0.0, jnp.max(x, axis=-1, where=where, initial=-jnp.inf))
    exponentials = jnp.where(where, jnp.exp(jnp.where(where, x - largest[..., None], 0.0)), 0.0)
    total = jnp.where(none, 1.0, exponentials.sum(-1))
    return jnp.where(none, -jnp.inf, largest + jnp.log(total)), exponentials, total


@_log_sum_exp.defjvp
def _log_sum_exp_jvp(given: tuple[Array, Array], along: tuple[Array, Any]) -> tuple[Array, Array]:
    found, exponentials, total = _log_sum_exp_parts(*given)
    return found, jnp.sum(exponentials * along[0], axis=-1) / total


def log_weight(scores: Array) -> Array:
    """[..., K] -> [...], the logarithm of the sum of exp(scores), all of which are there; -inf if K is 0."""
    return log_sum_exp(scores, jnp.ones(scores.shape, bool))
