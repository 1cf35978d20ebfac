"""Unimodal label generation: pure functions on label state, one module for each method's rule."""

from msa_jax.labels import self_mm, sugrm

__all__ = ["self_mm", "sugrm"]
