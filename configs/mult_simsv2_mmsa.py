"""MulT on SIMS v2 with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train mult --data SIMSv2/Processed/sims_unaligned.pkl --text-encoder features --preset mult_simsv2_mmsa

Padding is read as data, positions are not added, steps of the future are hidden, z_m is the last padded step. Windows of eight
mini-batches with summed gradients, the last incomplete window dropped; MMSA clips the sum after each mini-batch of a window,
which here is clipped once. The validation loss is the mean of its batches, rounded; the plateau after which the
learning rate would fall is longer than the patience, so it never falls.
Its number of tokens is not known here; set `max_tokens` to that of the file.
Published by MMSA, mean of five seeds: Acc-2 80.68, Acc-3 73.19, Acc-5 54.81, MAE 0.2905, Corr 0.738.
"""

PRESET = {
    "method": "mult",
    "protocol": "reference",
    "options": {
        "width": 30,
        "heads": 6,
        "kernels.text": 5,
        "kernels.vision": 1,
        "attention_dropout.text": 0.1,
        "attention_dropout.vision": 0.0,
        "residual_dropout": 0.0,
        "text_dropout": 0.5,
        "output_dropout": 0.3,
        "clip_value": 1.0,
        "plateau_patience": 10,
        "learning_rate.audio": 0.0005,
        "learning_rate.vision": 0.0005,
        "learning_rate.other": 0.0005,
    },
}
