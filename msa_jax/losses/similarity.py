"""What contrastive losses share: dot products, the choice between positives and negatives, and checks of arguments."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from msa_jax.errors import InputError
from msa_jax.numerics import at_least_float32

Array = jax.Array


def present(where: Array | None, rows: int) -> Array:
    """The mask of the rows [rows] bool, all of them where none is given. AssertionError: it has another shape."""
    if where is None:
        return jnp.ones((rows,), bool)
    chex.assert_shape(where, (rows,))
    return jnp.asarray(where).astype(bool)


def dot_products(first: Array, second: Array) -> Array:
    """[A, d], [B, d] -> [A, B]; full float32, where an accelerator would otherwise round its inputs.

    A temperature of 0.05 makes twenty times as much of a rounding error.
    """
    return jnp.einsum("ad,bd->ab", first, second, precision=jax.lax.Precision.HIGHEST)


def choice_nll(positive: Array, negative: Array) -> Array:
    """-log(exp(p) / (exp(p) + exp(n))): how far a choice between positives and negatives is from certain.

    Computed as log(1 + exp(n - p)), which keeps its digits, and its gradients theirs, where the loss is nearly 0.

    Args:
      positive: logarithm of the weight of the positives, any shape, finite.
      negative: the same of the negatives, a shape that goes with it; -inf where there are none.

    Returns:
      That shape, not negative; 0 where there are no negatives.
    """
    return jax.nn.softplus(negative - positive)


def spread(features: Array, *, where: Array | None = None) -> Array:
    """How far the vectors of a batch differ from each other, relative to their length: a figure to watch, no loss.

    The root of the mean squared distance from their mean, over the root of their mean squared length.

    Args:
      features: [B, d]; no gradient flows through them.
      where: [B] bool, rows that are there.

    Returns:
      A scalar in [0, 1], float32 at least; 0 if all vectors are the same, or zeros, or none is there.
    """
    chex.assert_rank(features, 2)
    where = present(where, features.shape[0])[:, None]
    x = jnp.where(where, at_least_float32(jax.lax.stop_gradient(features)), 0.0)
    count = jnp.maximum(where.sum(), 1)
    apart = jnp.sum(jnp.where(where, x - x.sum(0, keepdims=True) / count, 0.0) ** 2)
    length = jnp.sum(x**2)
    return jnp.where(length > 0, jnp.sqrt(apart / jnp.where(length > 0, length, 1.0)), 0.0)


def check_positive(name: str, value: Array | float) -> None:
    """Raises InputError where a number is not positive, AssertionError where it is no scalar; traced numbers pass."""
    chex.assert_rank(value, 0)
    # By numpy: in a function that is traced, a comparison by JAX has no value, even of a number that has one.
    if not isinstance(value, Tracer) and not np.asarray(value) > 0:
        raise InputError(f"option {name} is {value}; expected a positive number")


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raises InputError where a value is not one of the choices."""
    if value not in choices:
        raise InputError(f"option {name} is {value!r}; expected one of {', '.join(choices)}")
