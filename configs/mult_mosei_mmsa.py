"""MulT on MOSEI with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train mult --data MOSEI/Processed/unaligned_50.pkl --text-encoder features --preset mult_mosei_mmsa

Padding is read as data, positions are not added, steps of the future are hidden, z_m is the last padded step. Windows of eight
mini-batches with summed gradients, the last incomplete window dropped; MMSA clips the sum after each mini-batch of a window,
which here is clipped once. The validation loss is the mean of its batches, rounded; the plateau after which the
learning rate would fall is longer than the patience, so it never falls.
Published by MMSA, mean of five seeds: MAE 0.559, Corr 0.733, Acc-2 81.15/84.63. MMCL's rerun of it (its Table 1, aligned): MAE
0.564, Corr 0.732.
"""

PRESET = {
    "extends": "mult_mosi_mmsa",
    "options": {
        "batch_size": 4,
        "width": 30,
        "heads": 6,
        "kernels.audio": 1,
        "kernels.vision": 3,
        "attention_dropout.text": 0.4,
        "attention_dropout.audio": 0.0,
        "input_dropout": 0.0,
        "text_dropout": 0.3,
        "plateau_patience": 20,
        "learning_rate.audio": 0.0005,
        "learning_rate.vision": 0.0005,
        "learning_rate.other": 0.0005,
    },
}
