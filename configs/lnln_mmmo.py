"""LNLN on ICT-MMMO, audio and vision sequences without text.

    msa-jax train lnln --data mmmo --seeds 1111 1112 1113

Without text, the proxy from audio and vision is all there is of the dominant modality. 220 training samples and features with
outliers: standardised with the statistics of the training split and clipped; batch size, epochs and patience are those of
Self-MM's preset here. Nothing was tuned.
"""

PRESET = {
    "extends": "lnln_mosi",
    "options": {
        "standardise": "train",
        "batch_size": 16,
        "max_epochs": 60,
        "patience": 12,
    },
}
