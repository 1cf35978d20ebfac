"""LMF on ICT-MMMO, audio and vision sequences without text.

    msa-jax train lmf --data mmmo --seeds 1111 1112 1113

220 training samples and features with outliers: standardised with the statistics of the training split and clipped; batch
size, epochs and patience are those of Self-MM's preset here. Sizes and rates are those of MMSA for MOSI; nothing was tuned.
"""

PRESET = {
    "method": "lmf",
    "options": {
        "standardise": "train",
        "batch_size": 16,
        "max_epochs": 60,
        "patience": 12,
    },
}
