"""TETFN on SIMS, with MMSA's sizes and rates and without its quirks: audio and vision keep their own lengths.

    msa-jax train tetfn --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese

No weight decay and no windows of mini-batches, as in the default of Self-MM.
Published by MMSA, mean of five seeds: MAE 0.420, Corr 0.577, Acc-2 81.18, Acc-3 63.24, Acc-5 41.79.
"""

PRESET = {
    "method": "tetfn",
    "options": {
        "max_tokens": 39,
        "kernels.text": 3,
        "kernels.audio": 5,
        "attention_dropout.text": 0.0,
        "attention_dropout.audio": 0.1,
        "attention_dropout.vision": 0.0,
        "hidden_dropout": 0.1,
        "residual_dropout": 0.0,
        "dropout.m": 0.1,
        "feature_size.t": 64,
        "feature_size.a": 16,
        "feature_size.v": 32,
        "learning_rate.audio": 0.003,
        "learning_rate.vision": 0.0005,
        "learning_rate.other": 0.003,
    },
}
