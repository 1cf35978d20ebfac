"""Self-MM on SIMS with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train self_mm --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese --preset self_mm_sims_mmsa

Coupled weight decay, windows of four mini-batches with summed gradients, the last incomplete window dropped.
Published by MMSA, five seeds: Acc-2 80.04, Acc-3 65.47, Acc-5 41.53, F1 80.44, MAE 0.425, Corr 0.595.
"""

PRESET = {
    "method": "self_mm",
    "protocol": "reference",
    "options": {
        "batch_size": 32,
        "zero_is_positive": False,
        "learning_rate.text": 5e-05,
        "weight_decay.text": 0.001,
        "learning_rate.audio": 0.005,
        "weight_decay.audio": 0.01,
        "learning_rate.vision": 0.005,
        "weight_decay.vision": 0.01,
        "learning_rate.other": 0.001,
        "weight_decay.other": 0.001,
        "audio_hidden": 16,
        "vision_hidden": 64,
        "audio_size": 16,
        "vision_size": 32,
        "feature_size.m": 128,
        "feature_size.t": 64,
        "feature_size.a": 16,
        "feature_size.v": 32,
        "dropout.m": 0.0,
        "dropout.t": 0.1,
        "dropout.a": 0.1,
        "dropout.v": 0.0,
        "validation_decimals": 4,
        "max_tokens": 39,
        "label_limit": 1.0,
    },
}
