"""SPT on ICT-MMMO, audio and vision sequences without text.

    msa-jax train spt --data mmmo --seeds 1111 1112 1113

220 training samples and features with outliers: standardised with the statistics of the training split and clipped.
Sizes and rates are those of the authors' code; batch size, epochs and patience are those of Self-MM here. Nothing was
tuned.
"""

PRESET = {
    "method": "spt",
    "options": {
        "standardise": "train",
        "batch_size": 16,
        "max_epochs": 60,
        "patience": 12,
    },
}
