"""LF-LSTM on ICT-MMMO, audio and vision sequences without text.

    msa-jax train lf_lstm --data mmmo --seeds 1111 1112 1113

220 training samples and features with outliers: standardised with the statistics of the training split and clipped.
Sizes and rates are the defaults, which are ours; no code was published. Batch size, epochs and patience are those of
Self-MM here.
"""

PRESET = {
    "method": "lf_lstm",
    "options": {
        "standardise": "train",
        "batch_size": 16,
        "max_epochs": 60,
        "patience": 12,
    },
}
