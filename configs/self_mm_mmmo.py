"""Self-MM on ICT-MMMO, audio and vision sequences without text.

    msa-jax train self_mm --data mmmo

220 training rows and features with outliers: standardised with the statistics of the training split and clipped.
EXPECT
"""

PRESET = {
    "method": "self_mm",
    "protocol": "paper",
    "options": {
        "standardise": "train",
        "batch_size": 16,
        "max_epochs": 60,
        "patience": 12,
    },
}
