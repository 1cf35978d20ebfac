"""Contrastive losses with positives and negatives of their own for each anchor: NT-Xent and Multi NT-Xent.

Papers: Yang et al. ConFEDE: Contrastive Feature Decomposition for Multimodal Sentiment Analysis. ACL 2023. The paper of
DMMSA, which replaces ConFEDE's NT-Xent by Multi NT-Xent: Applied Sciences 2025, 15(11), 6342; its equation numbers.

DMMSA's argument (eq. 1-4). With several positives in the denominator of each, NT-Xent cannot reach 0: where all n
positives of an anchor are equally similar and no negative counts, each of them gets 1/n of the probability, and -log(1/n)
remains. Multi NT-Xent sums the positives before the logarithm and reaches 0. ConFEDE's code does reach 0 too, since it
puts one positive into each denominator; the argument is about the formula that is printed.

"No negative counts" is a limit of small temperatures. With cosines of 1 to the P positives and of -1 to the N negatives,
the losses are log(P + N exp(-2/t)) for NT-Xent as printed, log(1 + N exp(-2/t)) with one positive, and
log(1 + N/P exp(-2/t)) for Multi NT-Xent: 0.720, 0.053 and 0.027 for DMMSA's two positives, three negatives, t = 0.5.
They are the least values that these losses take.
"""

from typing import Literal

import chex
import jax
import jax.numpy as jnp

from msa_jax.losses.similarity import check_choice, check_positive, choice_nll, present
from msa_jax.numerics import l2_normalise, log_sum_exp

Array = jax.Array


def nt_xent(
    anchor: Array,
    positives: Array,
    negatives: Array,
    *,
    temperature: Array | float = 0.5,
    denominator: Literal["one", "all"] = "one",
    where: Array | None = None,
    there: tuple[Array, Array] | None = None,
) -> Array:
    """Normalised temperature-scaled cross-entropy, the mean over the positives of an anchor.

    With s the cosine divided by the temperature, -log(exp(s_p) / denominator_p), where the denominator is

    - "one": exp(s_p) + sum over the negatives of exp(s_n), one positive at a time (ConFEDE's code).
    - "all": the sum over all positives and negatives (DMMSA, eq. 1). Eq. 1 adds up the positives: P times this mean.

    Args:
      anchor: [B, d], of any length.
      positives: [B, P, d], P >= 1.
      negatives: [B, N, d], N >= 0.
      temperature: > 0, a number or a traced scalar; ConFEDE: 0.5.
      denominator: which of the two.
      where: [B] bool, rows that are there.
      there: [B, P] and [B, N] bool, the positives and the negatives that a row has; None for all.

    Returns:
      [B]: at least log(1 + N exp(-2/t)) for "one" and log(P + N exp(-2/t)) for "all", P and N being those of the row; 0 for a
      row that is not there or has no positive.

    Raises:
      AssertionError: a shape does not fit. InputError: an unknown denominator, or a temperature that is not positive.
    """
    check_choice("denominator", denominator, ("one", "all"))
    positive, negative, has_positive, has_negative = _scores(anchor, positives, negatives, temperature, where, there)
    count = jnp.maximum(has_positive.sum(-1), 1)
    if denominator == "one":
        each = choice_nll(positive, log_sum_exp(negative, has_negative)[:, None])
        return jnp.where(has_positive, each, 0.0).sum(-1) / count
    # Differences first: at a small temperature the two terms are large and the loss is not.
    mean = jnp.where(has_positive, positive, 0.0).sum(-1) / count
    both, has_both = (jnp.concatenate(pair, -1) for pair in ((positive, negative), (has_positive, has_negative)))
    any_positive = has_positive.any(-1)
    loss = log_sum_exp(both - mean[:, None], has_both & any_positive[:, None])
    return jnp.where(any_positive, loss, 0.0)


def multi_nt_xent(
    anchor: Array,
    positives: Array,
    negatives: Array,
    *,
    temperature: Array | float = 0.5,
    where: Array | None = None,
    there: tuple[Array, Array] | None = None,
) -> Array:
    """Multi NT-Xent: the positives are summed before the logarithm (DMMSA, eq. 3).

    -log(sum over the positives of exp(s) / sum over positives and negatives of exp(s)), s the cosine divided by the
    temperature. DMMSA compares parts of one sample (eq. 11-12): T_s with V_s and A_s against T_d, V_d and A_d.

    Args:
      anchor: [B, d], of any length.
      positives: [B, P, d], P >= 1.
      negatives: [B, N, d], N >= 0.
      temperature: > 0, a number or a traced scalar; the paper's tau_m, for which it gives no value; ConFEDE: 0.5.
      where: [B] bool, rows that are there.
      there: as of `nt_xent`.

    Returns:
      [B], at least log(1 + N/P exp(-2/t)); 0 for a row that is not there or has no positive.

    Raises:
      AssertionError: a shape does not fit. InputError: a temperature that is not positive.
    """
    positive, negative, has_positive, has_negative = _scores(anchor, positives, negatives, temperature, where, there)
    any_positive = has_positive.any(-1)
    together = jnp.where(any_positive, log_sum_exp(positive, has_positive), 0.0)
    return jnp.where(any_positive, choice_nll(together, log_sum_exp(negative, has_negative)), 0.0)


def _scores(
    anchor: Array,
    positives: Array,
    negatives: Array,
    temperature: Array | float,
    where: Array | None,
    there: tuple[Array, Array] | None,
) -> tuple[Array, Array, Array, Array]:
    """Cosines divided by the temperature, [B, P] of the positives and [B, N] of the negatives, and which of them count."""
    chex.assert_rank(anchor, 2)
    rows, width = anchor.shape
    for others in (positives, negatives):
        chex.assert_rank(others, 3)
        chex.assert_shape(others, (rows, None, width))
    chex.assert_axis_dimension_gt(positives, 1, 0)
    check_positive("temperature", temperature)
    where = present(where, rows)
    anchor = l2_normalise(jnp.where(where[:, None], anchor, 0.0))
    given = (None, None) if there is None else there
    for has, others in zip(given, (positives, negatives), strict=True):
        if has is not None:
            chex.assert_shape(has, others.shape[:2])
    counts = [
        jnp.broadcast_to(where[:, None], others.shape[:2]) & (True if has is None else has)
        for has, others in zip(given, (positives, negatives), strict=True)
    ]

    def cosine(others: Array, counts: Array) -> Array:
        others = l2_normalise(jnp.where(counts[..., None], others, 0.0))
        return jnp.einsum("bd,bkd->bk", anchor, others, precision=jax.lax.Precision.HIGHEST) / temperature

    return cosine(positives, counts[0]), cosine(negatives, counts[1]), counts[0], counts[1]
