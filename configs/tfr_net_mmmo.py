"""TFR-Net on ICT-MMMO, audio and vision sequences without text.

    msa-jax train tfr_net --data mmmo --seeds 1111 1112 1113

220 training samples and features with outliers: standardised with the statistics of the training split and clipped; batch
size, epochs and patience are those of Self-MM's preset here. Nothing was tuned.
"""

PRESET = {
    "extends": "tfr_net_mosi",
    "options": {
        "standardise": "train",
        "batch_size": 16,
        "max_epochs": 60,
        "patience": 12,
    },
}
