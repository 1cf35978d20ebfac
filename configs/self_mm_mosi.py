"""Self-MM on MOSI, as the paper states it: Adam, 5e-5 for BERT, 1e-3 for the rest; early stopping.

    msa-jax train self_mm --data MOSI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased

The paper names no widths, dropout or batch size; those of its repository for MOSI stand here.
Published, mean of five seeds (Table 1): MAE 0.713, Corr 0.798, Acc-2 84.00/85.98, F1 84.42/85.95.
"""

PRESET = {
    "method": "self_mm",
    "protocol": "paper",
    "options": {
        "audio_hidden": 32,
        "vision_hidden": 64,
        "audio_size": 16,
        "vision_size": 32,
        "feature_size.m": 128,
        "feature_size.t": 64,
        "feature_size.a": 16,
        "feature_size.v": 32,
        "dropout.m": 0.1,
        "dropout.t": 0.0,
        "dropout.a": 0.1,
        "dropout.v": 0.1,
    },
}
