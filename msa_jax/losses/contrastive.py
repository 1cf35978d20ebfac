"""Contrastive losses whose negatives are the other samples of the batch: those of MMCL, and the usual ones.

Paper: Lin and Hu. Multimodal Contrastive Learning via Uni-Modal Coding and Cross-Modal Prediction for Multimodal
Sentiment Analysis (MMCL). Findings of EMNLP 2022. Its equations leave gaps; each function names its reading of them.

Vectors come as they are and are brought to unit length here (MMCL, section 3.4.2, says so for the predictions; a
temperature of 0.05 to 0.7 supposes it everywhere): a dot product is a cosine in [-1, 1]. A vector of zeros has cosine 0
with everything. Rows that are not in `where` are neither anchors nor negatives; their values are never looked at.

Under `jit` with the batch sharded over devices, the batch means the whole batch: each sample meets the negatives of
all devices.
"""

from typing import Literal

import chex
import jax
import jax.numpy as jnp

from msa_jax.errors import InputError
from msa_jax.losses.similarity import check_choice, check_positive, choice_nll, dot_products, present
from msa_jax.numerics import log_sum_exp, unit_rows

Array = jax.Array


def info_nce(
    query: Array,
    key: Array,
    *,
    temperature: Array | float,
    denominator: Literal["queries", "literal", "keys"] = "queries",
    where: Array | None = None,
) -> Array:
    """InfoNCE with one positive key for each query (MMCL, eq. 4; van den Oord et al. 2018).

    -log(exp(q_i.k_i / t) / denominator_i). Eq. 4 prints a denominator that sums over the queries of the batch, the query
    itself among them and its key not, while the text takes "the other representations" of the batch as negatives.
    Hence three readings, with t left out:

    - "queries", the text: exp(q_i.k_i) + sum over j != i of exp(q_i.q_j).
    - "literal", eq. 4 as printed: sum over all j of exp(q_i.q_j), j = i included. No longer the cross-entropy of a choice,
      for the key is not among what is chosen from; q_i.q_i = 1 takes its place and keeps the loss from being negative.
    - "keys", the usual InfoNCE: sum over all j of exp(q_i.k_j).

    Gradients flow through queries and keys.

    Args:
      query: [B, d], of any length.
      key: [B, d], of any length; row i is the positive of query i.
      temperature: > 0, a number or a traced scalar. MMCL: 0.05, 0.1 or 0.7.
      denominator: which of the three.
      where: [B] bool, rows that are there.

    Returns:
      [B], not negative: at least log(1 + (B - 1) exp(-2/t)), B being the rows that are there. 0 for a row that is not
      there. Of a batch of one: 0, and (1 - q.k) / t for "literal".

    Raises:
      AssertionError: shapes differ. InputError: an unknown denominator, or a temperature that is not positive.
    """
    chex.assert_rank(query, 2)
    chex.assert_equal_shape([query, key])
    check_positive("temperature", temperature)
    check_choice("denominator", denominator, ("queries", "literal", "keys"))
    where = present(where, query.shape[0])
    query, key = unit_rows(query, where), unit_rows(key, where)

    positive = jnp.sum(query * key, axis=-1) / temperature  # [B]
    scores = dot_products(query, key if denominator == "keys" else query) / temperature  # [B, B]
    negative = log_sum_exp(scores, where[None, :] & ~jnp.eye(query.shape[0], dtype=bool))
    if denominator == "literal":
        itself = jnp.sum(query * query, axis=-1) / temperature
        loss = jnp.sum(query * (query - key), axis=-1) / temperature + choice_nll(itself, negative)
    else:
        loss = choice_nll(positive, negative)
    return jnp.where(where, loss, 0.0)


def symmetric_info_nce(first: Array, second: Array, *, temperature: Array | float, where: Array | None = None) -> Array:
    """The mean of InfoNCE in both directions, each with the usual denominator (`info_nce`, "keys").

    Args:
      first: [B, d].
      second: [B, d]; row i belongs to row i of `first`.
      temperature: > 0, a number or a traced scalar.
      where: [B] bool, rows that are there.

    Returns:
      [B], not negative; the same with `first` and `second` exchanged.
    """
    forth = info_nce(first, second, temperature=temperature, denominator="keys", where=where)
    back = info_nce(second, first, temperature=temperature, denominator="keys", where=where)
    return 0.5 * (forth + back)


def instance_pairings(
    origin: Array, prediction: Array, *, temperature: Array | float, where: Array | None = None
) -> dict[str, Array]:
    """The three {query, key} combinations of instance-based contrastive learning (MMCL, eq. 5 and section 3.4.2).

    The paper takes them "successively" and says no more. All three are returned; their mean, or a schedule over the
    epochs, is the caller's choice. The readings:

    - "origin_origin", "predict_predict": the positive of a row is the row itself, at similarity 1, so that the term only
      pushes the rows of a batch apart.
    - "origin_predict": both directions, averaged (`symmetric_info_nce`).

    Args:
      origin: [B, d], G_u, the target representation.
      prediction: [B, d], P_u, its prediction from the other modalities.
      temperature: > 0, a number or a traced scalar.
      where: [B] bool, rows that are there.

    Returns:
      {"origin_origin", "predict_predict", "origin_predict"}, each [B], not negative; 0 for a batch of one.
    """
    chex.assert_equal_shape([origin, prediction])
    itself = {"temperature": temperature, "denominator": "keys", "where": where}
    return {
        "origin_origin": info_nce(origin, origin, **itself),
        "predict_predict": info_nce(prediction, prediction, **itself),
        "origin_predict": symmetric_info_nce(origin, prediction, temperature=temperature, where=where),
    }


def alignment(first: Array, second: Array, *, power: Array | float = 2.0, where: Array | None = None) -> Array:
    """Distance of the unit vectors of a pair, to a power (MMCL, eq. 6; Wang and Isola 2020).

    Args:
      first: [B, d], P_u.
      second: [B, d], G_u.
      power: > 0, the paper's lambda, 1 or 2; the default is Wang and Isola's.
      where: [B] bool, rows that are there.

    Returns:
      [B] = ||P_i - G_i||^power, in [0, 2^power]. Pairs that coincide up to rounding give 0 and a gradient of 0, for
      any power.

    Raises:
      AssertionError: shapes differ. InputError: the power is not positive.
    """
    chex.assert_rank(first, 2)
    chex.assert_equal_shape([first, second])
    check_positive("power", power)
    where = present(where, first.shape[0])
    squared = jnp.sum((unit_rows(first, where) - unit_rows(second, where)) ** 2, axis=-1)
    # Below a power of 2 the gradient has no limit at distance 0. Two vectors of one direction differ by their rounding.
    coincide = squared <= (4 * jnp.finfo(squared.dtype).eps) ** 2
    return jnp.where(coincide, 0.0, jnp.where(coincide, 1.0, squared) ** (power / 2))


def uniformity(
    first: Array,
    second: Array | None = None,
    *,
    kappa: Array | float = 2.0,
    kind: Literal["pairwise", "literal", "within"] = "pairwise",
    where: Array | None = None,
) -> Array:
    """Logarithm of the mean Gaussian potential between unit vectors (MMCL, eq. 7 and 11; Wang and Isola 2020).

    Eq. 7 prints the mean over the pairs (P_i, G_i) of eq. 6. Minimised, it pushes each prediction away from its own
    target, against eq. 6; appendix A.2 speaks of the "average pairwise" potential. Hence:

    - "pairwise": log mean over i != j of exp(-kappa ||P_i - G_j||^2).
    - "literal", eq. 7 as printed: log mean over i of exp(-kappa ||P_i - G_i||^2).
    - "within": the mean of Wang and Isola's loss, pairs i != j of one set, of P and of G.

    Args:
      first: [B, d], P_u.
      second: [B, d], G_u. Left out, pairs are taken within `first`; not for "literal".
      kappa: > 0, a number or a traced scalar; the default is Wang and Isola's.
      kind: which of the three.
      where: [B] bool, rows that are there.

    Returns:
      A scalar, a statistic of the batch, in [-4 kappa, 0]. 0, with gradient 0, where there is no pair: an empty mask,
      and a single row but for "literal".

    Raises:
      AssertionError: shapes differ. InputError: an unknown kind, "literal" without `second`, kappa not positive.
    """
    chex.assert_rank(first, 2)
    chex.assert_equal_shape([first] if second is None else [first, second])
    check_positive("kappa", kappa)
    check_choice("kind", kind, ("pairwise", "literal", "within"))
    if kind == "literal" and second is None:
        raise InputError("option kind is 'literal'; expected pairwise or within if `second` is not given")
    where = present(where, first.shape[0])
    first = unit_rows(first, where)
    second = None if second is None else unit_rows(second, where)
    different = where[:, None] & where[None, :] & ~jnp.eye(first.shape[0], dtype=bool)

    if second is None:
        return _log_mean_potential(_squared_distances(first, first), different, kappa)
    if kind == "literal":
        return _log_mean_potential(jnp.sum((first - second) ** 2, axis=-1), where, kappa)
    if kind == "pairwise":
        return _log_mean_potential(_squared_distances(first, second), different, kappa)
    each = [_log_mean_potential(_squared_distances(x, x), different, kappa) for x in (first, second)]
    return 0.5 * (each[0] + each[1])


def supervised_contrastive(
    features: Array, classes: Array, *, temperature: Array | float, where: Array | None = None
) -> Array:
    """Sentiment-based contrastive loss: rows of a class attract, all others repel (MMCL, eq. 8; Khosla et al. 2020).

    -log(sum over the positives of exp(q.k / t) / sum over all others of exp(q.k / t)), the sum inside the logarithm as
    in eq. 8. An anchor is no positive and no part of the pool of itself; eq. 8 leaves that open.

    An anchor without positives gives 0. A plain mean over the rows counts it and so comes out smaller by the share of
    such anchors.
    MMCL's pool of one modality holds targets and predictions, 2 B rows: with `features` the two one after the other and
    `classes` twice, every row that is there has a positive, its counterpart, and `loss.reshape(2, B).mean(0)` is the
    loss of each sample.

    Args:
      features: [M, d].
      classes: [M], compared for equality; MMCL takes the sign of the label.
      temperature: > 0, a number or a traced scalar.
      where: [M] bool, rows that are there.

    Returns:
      [M], not negative; 0 for an anchor without positives or without negatives.

    Raises:
      AssertionError: a shape does not fit. InputError: a temperature that is not positive.
    """
    chex.assert_rank(features, 2)
    check_positive("temperature", temperature)
    positives, others = _same_class(classes, where, features.shape[0])
    unit = unit_rows(features, present(where, features.shape[0]))
    scores = dot_products(unit, unit) / temperature
    takes_part = jnp.any(positives, axis=-1)
    positive = jnp.where(takes_part, log_sum_exp(scores, positives), 0.0)
    return jnp.where(takes_part, choice_nll(positive, log_sum_exp(scores, others & ~positives)), 0.0)


def _same_class(classes: Array, where: Array | None, rows: int) -> tuple[Array, Array]:
    """For each anchor its positives and all others that are there, [M, M] bool each."""
    chex.assert_shape(classes, (rows,))
    classes, where = jnp.asarray(classes), present(where, rows)
    others = where[:, None] & where[None, :] & ~jnp.eye(rows, dtype=bool)
    return others & (classes[:, None] == classes[None, :]), others


def _squared_distances(first: Array, second: Array) -> Array:
    """[B, d], [B, d] -> [B, B]. Lengths are summed, not supposed to be 1: a vector of zeros has length 0."""
    lengths = jnp.sum(first**2, axis=-1)[:, None] + jnp.sum(second**2, axis=-1)[None, :]
    return jnp.maximum(lengths - 2 * dot_products(first, second), 0.0)  # rounding may go below 0


def _log_mean_potential(squared: Array, where: Array, kappa: Array | float) -> Array:
    """log mean(exp(-kappa squared)) over the pairs that are there; 0 where there is none."""
    squared, where = squared.reshape(-1), where.reshape(-1)
    count = jnp.sum(where, dtype=squared.dtype)
    return jnp.where(count > 0, log_sum_exp(-kappa * squared, where) - jnp.log(jnp.maximum(count, 1.0)), 0.0)
