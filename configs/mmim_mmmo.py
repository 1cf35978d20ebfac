"""MMIM on ICT-MMMO, audio and vision sequences without text.

    msa-jax train mmim --data mmmo --seeds 1111 1112 1113

220 training samples and features with outliers: standardised with the statistics of the training split and clipped.
Sizes, rates and weights are those of the authors' code for MOSI; batch size, epochs and patience are those of Self-MM's preset
here. Nothing was tuned.
"""

PRESET = {
    "method": "mmim",
    "options": {
        "standardise": "train",
        "batch_size": 16,
        "max_epochs": 60,
        "patience": 12,
    },
}
