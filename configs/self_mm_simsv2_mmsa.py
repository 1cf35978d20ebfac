"""Self-MM on SIMS v2 with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train self_mm --data SIMSv2/Processed/sims_unaligned.pkl --text-encoder bert-base-chinese --preset self_mm_simsv2_mmsa

Coupled weight decay, windows of four mini-batches with summed gradients, the last incomplete window dropped.
Its number of tokens is not known here; set `max_tokens` to that of the file.
Published by MMSA, five seeds: Acc-2 79.69, F1 79.76, MAE 0.311, Corr 0.695. Its label limit of 3 on labels in [-1, 1] is
as published.
"""

PRESET = {
    "method": "self_mm",
    "protocol": "reference",
    "options": {
        "batch_size": 16,
        "zero_is_positive": False,
        "weight_decay.text": 0.01,
        "weight_decay.audio": 0.0,
        "learning_rate.vision": 0.001,
        "weight_decay.vision": 0.0,
        "weight_decay.other": 0.001,
        "audio_hidden": 16,
        "feature_size.a": 32,
        "dropout.m": 0.0,
        "dropout.v": 0.0,
        "validation_decimals": 4,
        "label_limit": 3.0,
    },
}
