"""A layer that turns gradients around, for training against a classifier."""

import jax

Array = jax.Array


@jax.custom_vjp
def reverse_gradient(x: Array) -> Array:
    """x itself, with a gradient of the opposite sign.

    What stands behind it learns to tell something from x, and what stands before it learns to hide that.

    Args:
      x: any shape, floating.

    Returns:
      x. Forward-mode differentiation is not defined.

    Source: Ganin and Lempitsky 2015, Unsupervised domain adaptation by backpropagation.
    """
    return x


def _forward(x: Array) -> tuple[Array, None]:
    return x, None


def _backward(_: None, gradient: Array) -> tuple[Array]:
    return (-gradient,)


reverse_gradient.defvjp(_forward, _backward)
