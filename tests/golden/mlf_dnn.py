"""MLF-DNN: as LF-DNN, with a head for each modality; gradients of the sum over M, T, A, V of mean |score - label|."""

from msa_jax.methods import mlf_dnn
from tests.golden.copying import Arrays, Comparison
from tests.golden.tfn import HEADS, PLACES, compared


def compare(arrays: Arrays) -> Comparison:
    """All outputs and gradients, (ours, theirs)."""
    return compared(arrays, mlf_dnn.METHOD, {**PLACES, **HEADS})
