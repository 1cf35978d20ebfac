"""A layer that turns gradients around, for training against a classifier."""

import jax
import jax.numpy as jnp

Array = jax.Array


def reverse_gradient(x: Array, weight: Array | float = 1.0) -> Array:
    """x itself, with a gradient multiplied by -weight.

    What stands behind it learns to tell something from x, and what stands before it learns to hide that.

    Args:
      x: any shape, floating.
      weight: a number or a traced scalar, into which no gradient flows.

    Returns:
      x. Forward-mode differentiation is not defined.

    Source: Ganin and Lempitsky 2015, Unsupervised domain adaptation by backpropagation.
    """
    return _reverse(x, jnp.asarray(weight, jnp.float32))


@jax.custom_vjp
def _reverse(x: Array, weight: Array) -> Array:
    return x


def _forward(x: Array, weight: Array) -> tuple[Array, Array]:
    return x, weight


def _backward(weight: Array, gradient: Array) -> tuple[Array, Array]:
    return (-weight * gradient).astype(gradient.dtype), jnp.zeros_like(weight)


_reverse.defvjp(_forward, _backward)
