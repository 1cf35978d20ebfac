"""Pure functions on the labels of training rows: unimodal label generation, one module a rule, and partners by label."""

from msa_jax.labels import retrieval, self_mm, sugrm

__all__ = ["retrieval", "self_mm", "sugrm"]
