"""MTFN on SIMS, with MMSA's sizes and rates and without its quirks.

    msa-jax train mtfn --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead. The dataset must
have human labels of each modality.
Sizes and rates are those of MMSA for SIMS. MMSA has no cap on epochs; 200 lie beyond where patience stops. Means are over
valid frames, the LSTM ends at the last token, and the multimodal score lies in the label range.
Published by MMSA, mean of five seeds: MAE 0.395, Corr 0.666, Acc-2 81.09, Acc-3 68.80, Acc-5 40.31. These runs are older
than MMSA's commit that trains the heads: there they kept their random start (`--freeze _head/`).
"""

PRESET = {
    "method": "mtfn",
    "protocol": "paper",
    "options": {
        "max_tokens": 39,
        "batch_size": 64,
        "text_hidden": 256,
        "text_size": 256,
        "audio_size": 32,
        "vision_size": 256,
        "fusion_hidden": 64,
        "dropout.audio": 0.2,
        "dropout.vision": 0.2,
        "dropout.fusion": 0.2,
        "learning_rate.audio": 0.005,
        "learning_rate.vision": 0.005,
        "learning_rate.other": 0.005,
        "weight_decay.text_subnetwork": 0.001,
        "weight_decay.audio": 0.0001,
        "weight_decay.vision": 1e-05,
        "weight_decay.other": 0.0,
        "weights.m": 0.6,
        "weights.t": 0.4,
        "weights.a": 0.0,
        "weights.v": 1.0,
        "head_hidden.text": 64,
        "head_hidden.audio": 4,
        "head_hidden.vision": 8,
        "head_dropout.text": 0.2,
        "head_dropout.audio": 0.2,
        "head_dropout.vision": 0.2,
        "max_epochs": 200,
    },
}
