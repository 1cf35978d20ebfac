"""Estimates of information between representations: the two halves of the Barber-Agakov bound I(X; Y) >= E[log q(y|x)] + H(Y).

Paper: Han, Chen, Poria. Improving Multimodal Fusion with Hierarchical Mutual Information Maximization for Multimodal
Sentiment Analysis (MMIM). EMNLP 2021. Its third estimate, the contrastive one, is `info_nce` with `denominator="keys"` and
a temperature of 1.
"""

import chex
import jax
import jax.numpy as jnp

from msa_jax.losses.similarity import present
from msa_jax.numerics import at_least_float32

Array = jax.Array

SMALLEST_LOG_VARIANCE = -80.0  # in front of an error; exp of 89 is no float32


def gaussian_log_likelihood(
    target: Array, mean: Array, log_variance: Array, *, normaliser: bool = True, where: Array | None = None
) -> Array:
    """Log density of a Gaussian with independent dimensions, up to the constant -d log(2 pi) / 2 (MMIM, section 3.3).

    Args:
      target: [B, d], y.
      mean: [B, d], of q(y|x).
      log_variance: [B, d], of q(y|x).
      normaliser: with the term -log_variance / 2. The authors' code leaves it out: then the variance is free to grow, and
        the value goes to 0 with it.
      where: [B] bool, samples that count; the others give 0, whatever stood there.

    Returns:
      [B] = sum over j of -(y_j - mean_j)^2 / (2 exp(log_variance_j)) - log_variance_j / 2. Not positive without the
      normaliser; with it without a bound, where the variance is small. In float32 at least.

    Raises:
      AssertionError: shapes differ.
    """
    chex.assert_rank(target, 2)
    chex.assert_equal_shape([target, mean, log_variance])
    there = present(where, target.shape[0])[:, None]
    target, mean, log_variance = (jnp.where(there, at_least_float32(x), 0.0) for x in (target, mean, log_variance))
    # exp overflows beyond, and 0 times infinity is NaN.
    each = -0.5 * (target - mean) ** 2 * jnp.exp(-jnp.maximum(log_variance, SMALLEST_LOG_VARIANCE))
    return (each - 0.5 * log_variance if normaliser else each).sum(-1)


def class_entropy(features: Array, label: Array, *, epsilon: Array | float = 1e-4, where: Array | None = None) -> Array:
    """Entropy of a mixture of two Gaussians, one of the positive and one of the negative samples (MMIM, section 3.3).

    1/4 (log det S_positive + log det S_negative), S being the covariance of a class about its own mean, divided by the
    number of its samples. The constant of the entropy of a Gaussian is left out, and samples of label 0 take no part.

    A class of n samples has a covariance of rank n - 1 at most. So one of d samples or fewer, whose log det is minus
    infinity, is skipped: it gives 0 and no gradient.

    Args:
      features: [M, d]; those of a memory may stand beside those of the batch.
      label: [M], of which the sign counts.
      epsilon: added to the diagonal of both covariances, so that a direction in which a class has no spread has a log
        det, and a gradient, that are finite. 0 for the equation as it stands.
      where: [M] bool, samples that count, whatever stands at the others.

    Returns:
      A scalar, a statistic of the batch.

    Raises:
      AssertionError: a shape does not fit.
    """
    chex.assert_rank(features, 2)
    chex.assert_shape(label, features.shape[:1])
    where = present(where, features.shape[0])
    features = jnp.where(where[:, None], features, 0.0)
    members = where[None] & jnp.stack([label > 0, label < 0])  # [2, M]
    count = members.sum(-1)[:, None]
    share = (members / jnp.maximum(count, 1)).astype(jnp.promote_types(features.dtype, jnp.float32))
    # An accelerator would round the factors; the log of a small determinant makes much of that.
    exact = jax.lax.Precision.HIGHEST
    mean = jnp.einsum("cm,md->cd", share, features, precision=exact)
    centred = jnp.where(members[..., None], features[None] - mean[:, None], 0.0)
    covariance = jnp.einsum("cm,cmi,cmj->cij", share, centred, centred, precision=exact)
    identity = jnp.eye(features.shape[1], dtype=features.dtype)[None]
    enough = count[..., None] > features.shape[1]
    return 0.25 * jnp.linalg.slogdet(jnp.where(enough, covariance + epsilon * identity, identity))[1].sum()
