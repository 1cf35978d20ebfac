"""Losses: pure functions on arrays. Most give one value per sample, of which the engine takes the weighted mean."""

from msa_jax.losses import dynamic_weights
from msa_jax.losses.confede import confede_contrast
from msa_jax.losses.contrastive import (
    alignment,
    info_nce,
    instance_pairings,
    supervised_contrastive,
    symmetric_info_nce,
    uniformity,
)
from msa_jax.losses.ctc import position_ctc
from msa_jax.losses.distribution import cmd, mmd, orthogonality
from msa_jax.losses.information import class_entropy, gaussian_log_likelihood
from msa_jax.losses.nt_xent import multi_nt_xent, nt_xent
from msa_jax.losses.ordinal import (
    Bins,
    clip_to_class,
    coarse_bounds,
    coarse_class,
    neutral_point,
    softmax_cross_entropy,
)
from msa_jax.losses.regression import l1, l2, sequence_l2, smooth_l1, weighted_l1
from msa_jax.losses.similarity import spread
from msa_jax.numerics import l2_normalise

__all__ = [
    "Bins",
    "alignment",
    "class_entropy",
    "clip_to_class",
    "cmd",
    "coarse_bounds",
    "coarse_class",
    "confede_contrast",
    "dynamic_weights",
    "gaussian_log_likelihood",
    "info_nce",
    "instance_pairings",
    "l1",
    "l2",
    "l2_normalise",
    "mmd",
    "multi_nt_xent",
    "neutral_point",
    "nt_xent",
    "orthogonality",
    "position_ctc",
    "sequence_l2",
    "smooth_l1",
    "softmax_cross_entropy",
    "spread",
    "supervised_contrastive",
    "symmetric_info_nce",
    "uniformity",
    "weighted_l1",
]
