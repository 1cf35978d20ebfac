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
from msa_jax.numerics import l2_normalise, log_weight

Array = jax.Array


def nt_xent(
    anchor: Array,
    positives: Array,
    negatives: Array,
    *,
    temperature: Array | float = 0.5,
    denominator: Literal["one", "all"] = "one",
    where: Array | None = None,
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

    Returns:
      [B]: at least log(1 + N exp(-2/t)) for "one" and log(P + N exp(-2/t)) for "all"; 0 for a row that is not there.

    Raises:
      AssertionError: a shape does not fit. InputError: an unknown denominator, or a temperature that is not positive.
    """
    check_choice("denominator", denominator, ("one", "all"))
    positive, negative, where = _scores(anchor, positives, negatives, temperature, where)
    if denominator == "one":
        loss = choice_nll(positive, log_weight(negative)[:, None]).mean(-1)
    else:
        # Differences first: at a small temperature the two terms are large and the loss is not.
        loss = log_weight(jnp.concatenate([positive, negative], axis=-1) - positive.mean(-1, keepdims=True))
    return jnp.where(where, loss, 0.0)


def multi_nt_xent(
    anchor: Array,
    positives: Array,
    negatives: Array,
    *,
    temperature: Array | float = 0.5,
    where: Array | None = None,
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

    Returns:
      [B], at least log(1 + N/P exp(-2/t)); 0 for a row that is not there.

    Raises:
      AssertionError: a shape does not fit. InputError: a temperature that is not positive.
    """
    positive, negative, where = _scores(anchor, positives, negatives, temperature, where)
    return jnp.where(where, choice_nll(log_weight(positive), log_weight(negative)), 0.0)


def _scores(
    anchor: Array, positives: Array, negatives: Array, temperature: Array | float, where: Array | None
) -> tuple[Array, Array, Array]:
    """Cosines divided by the temperature, [B, P] of the positives and [B, N] of the negatives, and the mask [B]."""
    chex.assert_rank(anchor, 2)
    rows, width = anchor.shape
    for others in (positives, negatives):
        chex.assert_rank(others, 3)
        chex.assert_shape(others, (rows, None, width))
    chex.assert_axis_dimension_gt(positives, 1, 0)
    check_positive("temperature", temperature)
    where = present(where, rows)
    anchor = l2_normalise(jnp.where(where[:, None], anchor, 0.0))

    def cosine(others: Array) -> Array:
        others = l2_normalise(jnp.where(where[:, None, None], others, 0.0))
        return jnp.einsum("bd,bkd->bk", anchor, others, precision=jax.lax.Precision.HIGHEST) / temperature

    return cosine(positives), cosine(negatives), where
