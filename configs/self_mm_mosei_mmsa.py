"""Self-MM on MOSEI with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train self_mm --data MOSEI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased --preset self_mm_mosei_mmsa

Coupled weight decay, windows of four mini-batches with summed gradients, the last incomplete window dropped.
Published by MMSA, five seeds: MAE 0.531, Corr 0.765, Acc-2 83.76/85.15, Acc-7 53.87.
"""

PRESET = {
    "method": "self_mm",
    "protocol": "reference",
    "options": {
        "zero_is_positive": False,
        "weight_decay.text": 0.001,
        "learning_rate.audio": 0.005,
        "weight_decay.audio": 0.0,
        "learning_rate.vision": 0.0001,
        "weight_decay.vision": 0.0,
        "weight_decay.other": 0.01,
        "audio_hidden": 16,
        "vision_hidden": 32,
        "feature_size.t": 32,
        "dropout.a": 0.0,
        "dropout.v": 0.0,
        "validation_decimals": 4,
    },
}
