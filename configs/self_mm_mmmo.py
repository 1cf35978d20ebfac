"""Self-MM on ICT-MMMO, audio and vision sequences without text.

    msa-jax train self_mm --data mmmo --seeds 1111 1112 1113

220 training samples and features with outliers: standardised with the statistics of the training split and clipped.
Batch size 16 was chosen over 32 on valid.
"""

PRESET = {
    "method": "self_mm",
    "options": {
        "standardise": "train",
        "batch_size": 16,
        "max_epochs": 60,
        "patience": 12,
    },
}
