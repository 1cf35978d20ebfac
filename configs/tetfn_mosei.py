"""TETFN on MOSEI, with MMSA's sizes and rates and without its quirks.

    msa-jax train tetfn --data MOSEI/Processed/aligned_50.pkl --text-encoder bert-base-uncased

No weight decay and no windows of mini-batches, as in the default of Self-MM.
Published by MMSA, mean of five seeds: MAE 0.537, Corr 0.770, Acc-2 84.12/86.21, Acc-7 53.90.
"""

PRESET = {
    "method": "tetfn",
    "options": {
        "batch_size": 32,
        "audio_hidden": 32,
        "vision_hidden": 32,
        "hidden_dropout": 0.1,
        "input_dropout": 0.1,
        "residual_dropout": 0.0,
        "feature_size.t": 64,
        "dropout.t": 0.1,
        "dropout.v": 0.1,
        "learning_rate.audio": 0.001,
        "learning_rate.vision": 0.005,
        "learning_rate.other": 0.0001,
    },
}
