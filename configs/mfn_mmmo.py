"""MFN on ICT-MMMO, audio and vision sequences without text.

    msa-jax train mfn --data mmmo --seeds 1111 1112 1113

220 training samples and features with outliers: standardised with the statistics of the training split and clipped.
Sizes and rates are MMSA's for MOSI. Batch size, epochs and patience are those of Self-MM here.
"""

PRESET = {
    "method": "mfn",
    "options": {
        "standardise": "train",
        "batch_size": 16,
        "max_epochs": 60,
        "patience": 12,
    },
}
