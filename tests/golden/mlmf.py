"""MLMF: as LMF, with a head for each modality; gradients of the sum over M, T, A, V of mean |score - label|."""

from msa_jax.methods import mlmf
from tests.golden.copying import Arrays, Comparison
from tests.golden.lmf import BARE
from tests.golden.tfn import HEADS, SUBNETWORKS, compared


def compare(arrays: Arrays) -> Comparison:
    """All outputs and gradients, (ours, theirs)."""
    places, rank = {**SUBNETWORKS, **HEADS}, arrays["param/audio_factor"].shape[0]
    return compared(arrays, mlmf.METHOD, places, bare=BARE, sizes={"rank": rank})
