"""MMCL on ICT-MMMO, audio and vision sequences without text.

    msa-jax train mmcl --data mmmo --seeds 1111 1112 1113

Without text, audio predicts vision, vision predicts audio, and the score comes from the two predictions. 220 training samples
and features with outliers: standardised with the statistics of the training split and clipped.

With five seeds the mean error on test is lower than that of the median of the training labels (docs/results/mmmo.md).
"""

PRESET = {
    "method": "mmcl",
    "options": {
        "standardise": "train",
        "batch_size": 16,
        "max_epochs": 60,
        "patience": 12,
    },
}
