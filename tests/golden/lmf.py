"""LMF: as TFN; three factors, and the weights and bias of their products, belong to no module."""

from msa_jax.methods import lmf
from tests.golden.copying import Arrays, Comparison
from tests.golden.tfn import SUBNETWORKS, compared

BARE = {
    "audio_factor": "fusion/audio_factor",
    "video_factor": "fusion/vision_factor",
    "text_factor": "fusion/text_factor",
    "fusion_weights": "fusion/weights",
    "fusion_bias": "fusion/bias",
}


def compare(arrays: Arrays) -> Comparison:
    """All outputs and gradients, (ours, theirs)."""
    return compared(arrays, lmf.METHOD, SUBNETWORKS, bare=BARE, sizes={"rank": arrays["param/audio_factor"].shape[0]})
