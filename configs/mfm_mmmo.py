"""MFM on ICT-MMMO, audio and vision sequences without text.

    msa-jax train mfm --data mmmo --seeds 1111 1112 1113

220 training samples and features with outliers: standardised with the statistics of the training split and clipped.
Sizes and rates are MMSA's for MOSI. Batch size, epochs and patience are those of Self-MM here.
The weights of the losses are those for MOSI's features on their own scale, and were not tuned again.
"""

PRESET = {
    "extends": "mfm_mosi",
    "options": {
        "standardise": "train",
        "batch_size": 16,
        "max_epochs": 60,
        "patience": 12,
    },
}
