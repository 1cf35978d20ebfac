"""TETFN on SIMS with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train tetfn --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese --preset tetfn_sims_mmsa

Padding is read as data, steps of the future are hidden, positions are added in the text enhanced Transformers alone, and vision
is convolved with the kernel of audio. Windows of four mini-batches with summed gradients, the last incomplete one dropped.
Audio and vision are averaged onto the tokens in windows of one size. The label limit of 3 on labels in [-1, 1] is as published.
Published by MMSA, mean of five seeds: MAE 0.420, Corr 0.577, Acc-2 81.18, Acc-3 63.24, Acc-5 41.79.
"""

PRESET = {
    "extends": "tetfn_sims",
    "protocol": "reference",
    "options": {
        "label_limit": 3.0,
        "kernels.vision": 5,
        "weight_decay.audio": 0.0,
        "weight_decay.vision": 0.01,
        "weight_decay.other": 0.001,
    },
}
