"""ConFEDE on ICT-MMMO, audio and vision sequences without text.

    msa-jax train confede --data mmmo --seeds 1111 1112 1113

Without text, the similar part of vision is the anchor of the contrast. 220 training samples and features with outliers:
standardised with the statistics of the training split and clipped; encoders of width 128 instead of 768. The stages are
shorter than the paper's, with early stops, so that they finish on two CPU cores. Nothing was tuned.
"""

PRESET = {
    "method": "confede",
    "options": {
        "standardise": "train",
        "width": 128,
        "patience": 8,
        "stage_audio.max_epochs": 40,
        "stage_audio.patience": 8,
        "stage_audio.batch_size": 32,
        "stage_vision.max_epochs": 40,
        "stage_vision.patience": 8,
        "stage_vision.batch_size": 32,
        "stage_vision.warmup": 0.1,
    },
}
