"""MulT on SIMS with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train mult --data SIMS/Processed/unaligned_39.pkl --text-encoder features --preset mult_sims_mmsa

Padding is read as data, positions are not added, steps of the future are hidden, z_m is the last padded step. Windows of eight
mini-batches with summed gradients, the last incomplete window dropped; MMSA clips the sum after each mini-batch of a window,
which here is clipped once. The validation loss is the mean of its batches, rounded; the plateau after which the
learning rate would fall is longer than the patience, so it never falls.
Published by MMSA, mean of five seeds: MAE 0.453, Corr 0.564, Acc-2 78.56, Acc-3 64.77, Acc-5 37.94.
"""

PRESET = {
    "extends": "mult_mosi_mmsa",
    "options": {
        "max_tokens": 39,
        "layers": 2,
        "kernels.audio": 1,
        "kernels.vision": 1,
        "attention_dropout.text": 0.2,
        "attention_dropout.audio": 0.1,
        "input_dropout": 0.1,
        "residual_dropout": 0.2,
        "text_dropout": 0.3,
        "output_dropout": 0.1,
        "plateau_patience": 10,
    },
}
