"""The engine: state, programs, stages, checkpoints. It knows no method by name."""

from msa_jax.train import gdwg

__all__ = ["gdwg"]
