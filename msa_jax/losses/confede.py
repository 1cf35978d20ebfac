"""The contrastive loss of ConFEDE, between samples and within them.

Paper: Yang et al. ConFEDE: Contrastive Feature Decomposition for Multimodal Sentiment Analysis. ACL 2023.
Reference code: github.com/XpastaX/ConFEDE (MIT); facts only.

Each modality of a sample is decomposed into a similar part (T_s, V_s, A_s), which should hold what the modalities share, and
a dissimilar part (T_d, V_d, A_d), which should hold what is its own. A training sample comes with six partners
(msa_jax.labels.retrieval):

    0     the sample itself
    1, 2  similar, of the same class
    3, 4  dissimilar, of another class
    5, 6  similar, of another class

Between samples, the similar part of each modality of sample 0 is drawn to those of 1 and 2 and away from those of 3 to 6.
Within each of the seven, T_s is drawn to V_s and A_s and away from T_d, V_d and A_d.
"""

from collections.abc import Mapping

import chex
import jax
import jax.numpy as jnp

from msa_jax.losses.similarity import check_positive, choice_nll, present
from msa_jax.modalities import LETTER
from msa_jax.numerics import l2_normalise, log_sum_exp

Array = jax.Array

GROUP = 7  # a sample and its six partners
LETTERS = tuple(LETTER[name] for name in ("text", "vision", "audio"))  # the first there is is the anchor within samples


def confede_contrast(
    parts: Mapping[str, Array],
    *,
    temperature: Array | float = 0.5,
    where: Array | None = None,
    there: Mapping[str, Array] | None = None,
) -> Array:
    """The mean of NT-Xent over all positive pairs of a group of seven samples.

    -log(exp(s_p) / (exp(s_p) + sum of exp(s_n))), s the cosine divided by the temperature: one positive to a denominator,
    beside all negatives of the same anchor. So it is in the authors' code, where T_s of sample 0, an anchor both between
    samples and within its own, has seven negatives for each of its four positives; T_s of a partner has three for two,
    V_s and A_s of sample 0 have four for two. These are 20 positive pairs.

    Absent modalities. Their parts are left out, as positives and as negatives. Without text the anchor within samples is
    vision. Of two modalities there are 11 pairs. Of one there are the 2 between samples: within a sample nothing is left
    to be drawn to, but the dissimilar part of sample 0 still is a negative of its similar part. A sample that lacks a
    modality is without it in the same way, whatever its parts are, and the mean is over the pairs that the group has.

    Args:
      parts: "ts", "vs", "as" and "td", "vd", "ad", or those of the modalities there are; [B, 7, d] each, the order of the
        seven as above.
      temperature: > 0, a number or a traced scalar.
      where: [B] bool, groups that count; the others give 0 and are never looked at.
      there: {letter of a modality: [B, 7] bool}, samples that have it; None for all.

    Returns:
      [B] float32, or float64 for parts of that type, not negative; a group has nothing to do with the others of the batch.
      0 for a group without a pair.

    Raises:
      ValueError: no modality, half of one, or an unknown part. AssertionError: a shape does not fit. InputError: a
      temperature that is not positive.
    """
    modalities = [name for name in LETTERS if name + "s" in parts]
    if not modalities or set(parts) != {name + kind for name in modalities for kind in "sd"}:
        raise ValueError(f"parts are {sorted(parts)}; expected a similar and a dissimilar one of each modality")
    rows, width = parts[modalities[0] + "s"].shape[0], parts[modalities[0] + "s"].shape[-1]
    for value in parts.values():
        chex.assert_shape(value, (rows, GROUP, width))
    check_positive("temperature", temperature)
    where = present(where, rows)
    given = [jnp.ones((rows, GROUP), bool) if there is None else there[name] for name in modalities]
    has = jnp.stack(given, axis=1) & where[:, None, None]  # [B, M, 7]
    units = [[_unit(parts[name + kind], has[:, m]) for m, name in enumerate(modalities)] for kind in "sd"]
    similar, dissimilar = (jnp.stack(each, axis=1) for each in units)  # [B, M, 7, d], the main modality first
    main = jnp.argmax(has, axis=1)  # [B, 7], of each sample the first that it has, its anchor
    anchor = jnp.take_along_axis(similar, main[:, None, :, None], axis=1)[:, 0]  # [B, 7, d]
    is_main = jnp.arange(len(modalities))[None, None] == main[..., None]  # [B, 7, M]

    def cosine(equation: str, anchors: Array, others: Array) -> Array:
        return jnp.einsum(equation, anchors, others, precision=jax.lax.Precision.HIGHEST) / temperature

    between = cosine("bmd,bmkd->bmk", similar[:, :, 0], similar[:, :, 1:])  # [B, M, 6], of sample 0
    near = cosine("bkd,bmkd->bkm", anchor, similar)  # [B, 7, M], within each sample
    far = cosine("bkd,bmkd->bkm", anchor, dissimilar)  # [B, 7, M]
    of_pair = has[:, :, :1] & has[:, :, 1:]  # [B, M, 6]
    of_sample = jnp.moveaxis(has, 1, 2)  # [B, 7, M]

    # The main modality of sample 0 is an anchor of both kinds: its negatives are those between samples and its own.
    own = jnp.broadcast_to(far[:, :1], (rows, len(modalities), len(modalities)))
    its_own = is_main[:, 0, :, None] & of_sample[:, :1]  # [B, M, M]
    against_between = log_sum_exp(
        jnp.concatenate([between[:, :, 2:], own], -1), jnp.concatenate([of_pair[:, :, 2:], its_own], -1)
    )  # [B, M]
    of_first = jnp.take_along_axis(against_between, main[:, :1], axis=1)
    against_within = jnp.concatenate([of_first, log_sum_exp(far[:, 1:], of_sample[:, 1:])], axis=1)  # [B, 7]

    total = pairs = jnp.zeros(rows, jnp.float32)
    for positive, against, counts in (
        (between[:, :, :2], against_between, of_pair[:, :, :2]),
        (near, against_within, of_sample & ~is_main),
    ):
        total += jnp.where(counts, choice_nll(positive, against[:, :, None]), 0.0).sum((1, 2))
        pairs += counts.sum((1, 2))
    return jnp.where(pairs > 0, total / jnp.maximum(pairs, 1.0), 0.0)


def _unit(part: Array, has: Array) -> Array:
    return l2_normalise(jnp.where(has[..., None], part, 0.0))
