"""Losses between the distributions of two sets of vectors, taken from one mini-batch: statistics of the batch, not of a sample.

Each gives a scalar. Samples that are not in `where` enter no mean and no product, and their values are never looked at.
Under `jit` with the batch sharded over devices, the batch means the whole batch.
"""

from typing import Literal

import chex
import jax
import jax.numpy as jnp

from msa_jax.losses.similarity import check_choice, present

Array = jax.Array

SMALLEST = 1e-6  # added to the length of a vector that is divided by it, as in the code of MISA


def cmd(first: Array, second: Array, *, moments: int = 5, where: Array | None = None) -> Array:
    """Central moment discrepancy (Zellinger et al. 2017), the similarity loss of MISA for one pair of modalities.

    ||E[X] - E[Y]|| + sum over k = 2 to K of ||C_k(X) - C_k(Y)||, where C_k(X) = E[(X - E[X])^k], for each feature by itself.
    Both papers divide moment k by |b - a|^k for features in [a, b]. Here features are expected in (0, 1), as a sigmoid gives
    them, so nothing is divided.

    Where two moments agree exactly, their distance has no derivative; the gradient of that distance is 0.

    Args:
      first: [B, h], in (0, 1).
      second: [B, h], in (0, 1); its samples need not belong to those of `first`.
      moments: K, at least 1.
      where: [B] bool, samples that count.

    Returns:
      A float32 scalar, not negative: 0 for equal batches and for a batch without samples, the distance of the two vectors
      for a batch of one.

    Raises:
      AssertionError: shapes differ.
    """
    first, second, where = _checked(first, second, where)
    means = [_mean(x, where) for x in (first, second)]
    discrepancy = _distance(*means)
    centred = [_centred(x, where) for x in (first, second)]
    powers = centred
    for _ in range(2, moments + 1):
        powers = [power * x for power, x in zip(powers, centred, strict=True)]
        discrepancy = discrepancy + _distance(*(_mean(power, where) for power in powers))
    return discrepancy


def orthogonality(
    first: Array, second: Array, *, reduce: Literal["mean", "sum"] = "mean", where: Array | None = None
) -> Array:
    """How far the features of two sets of vectors are from orthogonal (Bousmalis et al. 2016; the difference loss of MISA).

    The squares of the entries of A^T B [h, h], where A and B are the vectors without the mean of the batch, then brought to
    unit length. No gradient flows through that length, as in the code of MISA.

    Args:
      first: [B, h].
      second: [B, h]; row i belongs to row i of `first`.
      reduce: the "sum" of the squares, which is the squared Frobenius norm, or their "mean".
      where: [B] bool, samples that count.

    Returns:
      A float32 scalar, not negative; 0 for a batch of one, since its vector is its mean.

    Raises:
      AssertionError: shapes differ. InputError: an unknown reduction.
    """
    check_choice("reduce", reduce, ("mean", "sum"))
    first, second, where = _checked(first, second, where)
    units = [_detached_unit(_centred(x, where)) for x in (first, second)]
    product = jnp.einsum("bi,bj->ij", *units, precision=jax.lax.Precision.HIGHEST)
    return jnp.square(product).mean() if reduce == "mean" else jnp.square(product).sum()


def mmd(first: Array, second: Array, *, where: Array | None = None) -> Array:
    """Squared maximum mean discrepancy (Gretton et al. 2012) of two sets of vectors; beside a draw from N(0, I), the
    regulariser of MFM's codes.

    E[K(x, x')] + E[K(y, y')] - 2 E[K(x, y)], means over all pairs, those of a vector with itself among them, with the kernel
    K(x, y) = exp(-||x - y||^2 / h^2). So wide a kernel is nearly 1 between vectors of N(0, I), whose squared distance is about
    2h: the discrepancy is small, and so are its gradients.

    Args:
      first: [B, h].
      second: [B, h]; its samples need not belong to those of `first`.
      where: [B] bool, samples that count, of both.

    Returns:
      A float32 scalar, up to rounding not negative: 0 for equal batches and for a batch without samples.

    Raises:
      AssertionError: shapes differ.
    """
    first, second, where = _checked(first, second, where)
    pairs = where[:, None] & where[None, :]

    def mean_kernel(x: Array, y: Array) -> Array:
        squares = (jnp.square(x).sum(-1)[:, None], jnp.square(y).sum(-1)[None, :])
        product = jnp.einsum("ah,bh->ab", x, y, precision=jax.lax.Precision.HIGHEST)
        distance = squares[0] + squares[1] - 2 * product
        kernel = jnp.exp(-jnp.maximum(distance, 0.0) / x.shape[-1] ** 2)
        return jnp.where(pairs, kernel, 0.0).sum() / jnp.maximum(pairs.sum(), 1)

    return mean_kernel(first, first) + mean_kernel(second, second) - 2 * mean_kernel(first, second)


def _checked(first: Array, second: Array, where: Array | None) -> tuple[Array, Array, Array]:
    """Both in float32, zeros where nothing counts, and the mask [B]."""
    chex.assert_rank(first, 2)
    chex.assert_equal_shape([first, second])
    where = present(where, first.shape[0])
    first, second = (jnp.where(where[:, None], x, 0.0).astype(jnp.float32) for x in (first, second))
    return first, second, where


def _mean(x: Array, where: Array) -> Array:
    """[B, h] -> [h]; the samples that do not count are zeros."""
    return x.sum(0) / jnp.maximum(where.sum(), 1)


def _centred(x: Array, where: Array) -> Array:
    """[B, h] without its mean; zeros where nothing counts."""
    return jnp.where(where[:, None], x - _mean(x, where)[None, :], 0.0)


def _distance(first: Array, second: Array) -> Array:
    """[h], [h] -> their Euclidean distance."""
    squared = jnp.sum(jnp.square(first - second))
    # The inner `where` keeps the square root away from 0, where its gradient is infinite.
    return jnp.where(squared > 0, jnp.sqrt(jnp.where(squared > 0, squared, 1.0)), 0.0)


def _detached_unit(x: Array) -> Array:
    """[B, h] -> rows of unit length; rows of zeros stay zeros."""
    length = jnp.linalg.norm(jax.lax.stop_gradient(x), axis=-1, keepdims=True)
    return x / (length + SMALLEST)
