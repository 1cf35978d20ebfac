"""Self-MM on MOSI with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train self_mm --data MOSI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased --preset self_mm_mosi_mmsa

Coupled weight decay, windows of four mini-batches with summed gradients, the last incomplete window dropped.
Published by MMSA, five seeds: MAE 0.708, Corr 0.796, Acc-2 83.44/85.46, Acc-7 46.67; an independent rerun of ten
seeds gave MAE 0.720 (sd 0.010), Corr 0.792, Acc-2 non0 84.5, Acc-7 45.7.
"""

PRESET = {
    "extends": "self_mm_mosi_reference",
    "options": {
        "batch_size": 16,
        "zero_is_positive": False,
        "learning_rate.audio": 0.005,
        "weight_decay.audio": 0.001,
        "learning_rate.vision": 0.005,
        "audio_hidden": 16,
        "vision_hidden": 32,
        "feature_size.t": 32,
        "dropout.m": 0.0,
        "dropout.t": 0.1,
        "dropout.v": 0.0,
        "validation_decimals": 4,
    },
}
