"""Unit vectors, and sums of exponentials over the entries that are there.

No gradient is infinite or NaN where there is nothing: at zero vectors and empty masks.
"""

import chex
import jax
import jax.numpy as jnp

Array = jax.Array

SMALLEST = 1e-12  # a vector without any larger entry has no direction, where gradients are asked for


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
    x = jnp.asarray(x)
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(x), axis=axis, keepdims=True))
    none = largest <= smallest
    # Scaled, no square overflows. The direction does not depend on the scale, so neither does its gradient.
    x = x / jnp.where(none, 1.0, largest)
    # The inner `where` keeps the square root away from 0, where its gradient is infinite.
    squared = jnp.where(none, 1.0, jnp.sum(x * x, axis=axis, keepdims=True))
    return jnp.where(none, 0.0, x / jnp.sqrt(squared))


def unit_rows(x: Array, where: Array, *, smallest: float = SMALLEST) -> Array:
    """[B, d] -> unit vectors [B, d]; zeros if `where` [B] is False, whatever stood there."""
    return l2_normalise(jnp.where(where[:, None], x, 0.0), smallest=smallest)


def log_sum_exp(x: Array, where: Array) -> Array:
    """log(sum(exp(x))) along the last axis over the entries that are there.

    Args:
      x: [..., K], K >= 0; finite also where it does not count.
      where: [..., K] bool.

    Returns:
      [...], without overflow for x of any size; -inf, with gradient 0, where no entry is there.
    """
    chex.assert_equal_shape([x, where])
    none = ~jnp.any(where, axis=-1)
    # The largest entry only shifts: the result does not depend on it, so neither does the gradient.
    largest = jax.lax.stop_gradient(jnp.max(x, axis=-1, where=where, initial=-jnp.inf))
    largest = jnp.where(none, 0.0, largest)
    exponentials = jnp.where(where, jnp.exp(jnp.where(where, x - largest[..., None], 0.0)), 0.0)
    return jnp.where(none, -jnp.inf, largest + jnp.log(jnp.where(none, 1.0, exponentials.sum(-1))))


def log_weight(scores: Array) -> Array:
    """[..., K] -> [...], the logarithm of the sum of exp(scores), all of which are there; -inf if K is 0."""
    return log_sum_exp(scores, jnp.ones(scores.shape, bool))
