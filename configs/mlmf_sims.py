"""MLMF on SIMS, with MMSA's sizes and rates and without its quirks.

    msa-jax train mlmf --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead. The dataset must
have human labels of each modality.
Sizes and rates are those of MMSA for SIMS. MMSA has no cap on epochs; 200 lie beyond where patience stops. Means are over
valid frames, and the LSTM ends at the last token. What weighs the products is trained.
Published by MMSA, mean of five seeds: MAE 0.409, Corr 0.639, Acc-2 79.34, Acc-3 68.36, Acc-5 41.05. These runs are older
than MMSA's commit that trains the heads: there they kept their random start (`--freeze _head/`).
"""

PRESET = {
    "method": "mlmf",
    "protocol": "paper",
    "options": {
        "max_tokens": 39,
        "batch_size": 128,
        "text_hidden": 256,
        "text_size": 128,
        "audio_size": 32,
        "vision_size": 256,
        "rank": 3,
        "dropout.audio": 0.3,
        "dropout.vision": 0.3,
        "learning_rate.audio": 0.001,
        "learning_rate.vision": 0.001,
        "learning_rate.other": 0.001,
        "learning_rate.factor": 0.001,
        "weight_decay.text_subnetwork": 0.0001,
        "weight_decay.audio": 0.0,
        "weight_decay.vision": 0.0001,
        "weight_decay.other": 0.005,
        "weights.m": 0.2,
        "weights.t": 1.0,
        "weights.a": 0.4,
        "weights.v": 0.8,
        "head_hidden.text": 8,
        "head_hidden.audio": 4,
        "head_hidden.vision": 32,
        "head_dropout.text": 0.4,
        "head_dropout.audio": 0.4,
        "head_dropout.vision": 0.4,
        "max_epochs": 200,
    },
}
