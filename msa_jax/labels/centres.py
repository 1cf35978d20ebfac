"""What the rules of label generation share: a mini-batch as they take it, and the classes whose centres they keep."""

from collections.abc import Mapping

import chex
import jax
import jax.numpy as jnp

Array = jax.Array
# The largest absolute label, or the lowest and the highest.
Limit = Array | float | tuple[Array | float, Array | float] | list[Array | float]


def take_batch(
    rows: Array, features: Mapping[str, Array], where: Array | None, widths: Mapping[str, int]
) -> tuple[Array, dict[str, Array], Array]:
    """The rows of a mini-batch, their features as float32 without gradient, and which of them count, bool.

    Args:
      rows: [B] int32.
      features: [B, d] for each task.
      where: [B] bool, or None for all rows.
      widths: d of every task of the state.

    Raises:
      ValueError: tasks of `features` differ from those of the state. AssertionError: a shape does not fit.
    """
    if set(features) != set(widths):
        raise ValueError(f"features are of tasks {sorted(features)}, the state is of tasks {sorted(widths)}")
    rows = jnp.asarray(rows)
    chex.assert_rank(rows, 1)
    where = jnp.ones(rows.shape, bool) if where is None else jnp.asarray(where).astype(bool)
    chex.assert_equal_shape([rows, where])
    features = {task: jax.lax.stop_gradient(jnp.asarray(value)).astype(jnp.float32) for task, value in features.items()}
    for task, value in features.items():
        chex.assert_shape(value, (*rows.shape, widths[task]))
    return rows, features, where


def sign_classes(label: Array, zero_is_positive: bool, neutral: float = 0.0) -> Array:
    """[B] -> [B, 2] float32: 1 where the row is of the positive, of the negative class.

    neutral: what is neither; where labels are not on both sides of 0, another number takes its place.
    """
    positive = label >= neutral if zero_is_positive else label > neutral
    return jnp.stack([positive, label < neutral], axis=-1).astype(jnp.float32)


def ends(limit: Limit) -> tuple[Array | float, Array | float]:
    """The lowest and the highest label: the two of a pair, or `limit` on both sides of 0. AssertionError: one is an array."""
    low, high = limit if isinstance(limit, (tuple, list)) else (-limit, limit)
    chex.assert_rank([low, high], 0)
    return low, high


def class_sums(classes: Array, features: Array) -> Array:
    """[B, C], [B, d] -> [C, d]; full float32, where an accelerator would otherwise round its inputs."""
    return jnp.einsum("bc,bd->cd", classes, features, precision=jax.lax.Precision.HIGHEST)


def distances(features: Array, centres: Array) -> Array:
    """[B, d], [2, d] -> [B, 2]: Euclidean, to the positive and to the negative centre."""
    return jnp.linalg.norm(features[:, None, :] - centres[None, :, :], axis=-1)
