"""MulT on MOSI with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train mult --data MOSI/Processed/unaligned_50.pkl --text-encoder features --preset mult_mosi_mmsa

Padding is read as data, positions are not added, steps of the future are hidden, z_m is the last padded step. Windows of eight
mini-batches with summed gradients, the last incomplete window dropped; MMSA clips the sum after each mini-batch of a window,
which here is clipped once. The validation loss is the mean of its batches, rounded; the learning rate falls to a tenth where
it stalls.
Published by MMSA, mean of five seeds: MAE 0.880, Corr 0.702, Acc-2 79.71/80.98, Acc-7 36.91; an independent rerun of ten
seeds gave MAE 0.900 (sd 0.023), Corr 0.694, Acc-7 36.4. MMCL's rerun of it (its Table 1, aligned): MAE 0.918, Corr 0.685.
"""

PRESET = {
    "method": "mult",
    "protocol": "reference",
    "options": {
        "width": 50,
        "kernels.text": 5,
        "kernels.audio": 5,
        "kernels.vision": 5,
        "attention_dropout.text": 0.3,
        "attention_dropout.vision": 0.0,
        "hidden_dropout": 0.0,
        "residual_dropout": 0.0,
        "text_dropout": 0.5,
        "output_dropout": 0.5,
        "learning_rate.audio": 0.002,
        "learning_rate.vision": 0.002,
        "learning_rate.other": 0.002,
    },
}
