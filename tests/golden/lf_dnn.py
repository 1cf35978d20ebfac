"""LF-DNN: as TFN; the head reads the concatenated embeddings."""

from msa_jax.methods import lf_dnn
from tests.golden.copying import Arrays, Comparison
from tests.golden.tfn import PLACES, compared


def compare(arrays: Arrays) -> Comparison:
    """All outputs and gradients, (ours, theirs)."""
    return compared(arrays, lf_dnn.METHOD, PLACES)
