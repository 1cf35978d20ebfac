"""Losses: pure functions on arrays, one value per sample. The engine applies masks, weights and the mean."""

from msa_jax.losses.regression import l1, smooth_l1, weighted_l1

__all__ = ["l1", "smooth_l1", "weighted_l1"]
