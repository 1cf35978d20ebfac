"""EF-LSTM on ICT-MMMO, audio and vision sequences without text.

    msa-jax train ef_lstm --data mmmo --seeds 1111 1112 1113

220 training samples and features with outliers: standardised with the statistics of the training split and clipped.
Sizes and rates are MMSA's for MOSI. Batch size, epochs and patience are those of Self-MM here.
"""

PRESET = {
    "method": "ef_lstm",
    "options": {
        "standardise": "train",
        "weight_decay.other": 0.005,
        "weight_decay_mode": "coupled",
        "batch_size": 16,
        "max_epochs": 60,
        "patience": 12,
    },
}
