"""MTFN: as TFN, with a head for each modality; gradients of the sum over M, T, A, V of mean |score - label|."""

from msa_jax.methods import mtfn
from tests.golden.copying import Arrays, Comparison
from tests.golden.tfn import HEADS, PLACES, compared


def compare(arrays: Arrays) -> Comparison:
    """All outputs and gradients, (ours, theirs)."""
    return compared(arrays, mtfn.METHOD, {**PLACES, **HEADS})
