"""Regression losses, one value per sample, in float32; in float64 if the arguments are."""

import chex
import jax
import jax.numpy as jnp

from msa_jax.losses.similarity import check_positive, present
from msa_jax.numerics import at_least_float32

Array = jax.Array


def _difference(prediction: Array, target: Array, where: Array | None) -> Array:
    """prediction - target, 0 where samples do not count: masked before the loss, as the slope of a square may be NaN."""
    difference = at_least_float32(prediction) - at_least_float32(target)
    if where is None:
        return difference
    chex.assert_shape(where, difference.shape)
    return jnp.where(where, difference, 0.0)


def l1(prediction: Array, target: Array, *, where: Array | None = None) -> Array:
    """Absolute error.

    Args:
      prediction: [B].
      target: [B], on the scale of the labels.
      where: [B] bool, samples that count; the others give 0.

    Returns:
      [B], not negative.
    """
    chex.assert_equal_shape([prediction, target])
    return jnp.abs(_difference(prediction, target, where))


def l2(prediction: Array, target: Array, *, where: Array | None = None) -> Array:
    """Squared error (SUGRM, Table 8).

    Args:
      prediction: [B].
      target: [B], on the scale of the labels.
      where: [B] bool, samples that count; the others give 0.

    Returns:
      [B], not negative.
    """
    chex.assert_equal_shape([prediction, target])
    return jnp.square(_difference(prediction, target, where))


def weighted_l1(prediction: Array, target: Array, weight: Array, *, where: Array | None = None) -> Array:
    """Absolute error times a weight of each sample (Self-MM, eq. 10; SUGRM, eq. 18).

    Args:
      prediction: [B].
      target: [B].
      weight: [B], not negative; no gradient is stopped here.
      where: [B] bool, samples that count; the others give 0.

    Returns:
      [B], not negative.
    """
    chex.assert_equal_shape([prediction, target, weight])
    weight = weight if where is None else jnp.where(where, weight, 0.0)
    return weight * l1(prediction, target, where=where)


def smooth_l1(prediction: Array, target: Array, *, beta: float = 1.0, where: Array | None = None) -> Array:
    """Quadratic below `beta`, linear above, continuous at `beta` (Girshick 2015; DMMSA, eq. 7 with beta = 1).

    Args:
      prediction: [B].
      target: [B].
      beta: > 0, where the quadratic branch ends.
      where: [B] bool, samples that count; the others give 0.

    Returns:
      [B]: 0.5 d²/beta where d = |prediction - target| < beta, d - 0.5 beta elsewhere.

    Raises:
      AssertionError: shapes differ. InputError: beta is not positive.
    """
    chex.assert_equal_shape([prediction, target])
    check_positive("beta", beta)
    distance = jnp.abs(_difference(prediction, target, where))
    return jnp.where(distance < beta, 0.5 * distance**2 / beta, distance - 0.5 * beta)


def sequence_l2(written: Array, target: Array, length: Array, *, where: Array | None = None) -> Array:
    """Squared error of sequences, the mean over each one's own steps and features (MCTN; MFM).

    Args:
      written: [B, T, d].
      target: [B, T, d].
      length: [B] int32 in [0, T], the steps that count; whatever stands behind.
      where: [B] bool, samples that count; the others give 0.

    Returns:
      [B], not negative; 0 where the length is 0.
    """
    chex.assert_equal_shape([written, target])
    chex.assert_equal_shape_prefix([written, length], 1)
    counts = jnp.arange(written.shape[1])[None, :] < length[:, None]
    counts = counts if where is None else counts & present(where, written.shape[0])[:, None]
    difference = jnp.where(counts[..., None], _difference(written, target, None), 0.0)
    return jnp.square(difference).mean(-1).sum(1) / jnp.maximum(length, 1)
