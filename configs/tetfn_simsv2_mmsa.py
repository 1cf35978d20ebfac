"""TETFN on SIMS v2 with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train tetfn --data SIMSv2/Processed/sims_unaligned.pkl --text-encoder bert-base-chinese --preset tetfn_simsv2_mmsa

Padding is read as data, steps of the future are hidden, positions are added in the text enhanced Transformers alone, and vision
is convolved with the kernel of audio. Windows of four mini-batches with summed gradients, the last incomplete one dropped.
Audio and vision are averaged onto the tokens in windows of one size. The label limit of 3 on labels in [-1, 1] is as published.
Its number of tokens is not known here; set `max_tokens` to that of the file.
Published by MMSA, mean of five seeds: Acc-2 79.73, Acc-3 73.65, Acc-5 54.47, MAE 0.310, Corr 0.695.
"""

PRESET = {
    "method": "tetfn",
    "protocol": "reference",
    "options": {
        "label_limit": 3.0,
        "vision_hidden": 32,
        "kernels.text": 5,
        "kernels.audio": 3,
        "kernels.vision": 3,
        "feature_size.m": 128,
        "dropout.m": 0.1,
        "feature_size.t": 64,
        "dropout.t": 0.1,
        "feature_size.a": 16,
        "feature_size.v": 32,
        "learning_rate.text": 5e-06,
        "learning_rate.vision": 0.005,
        "weight_decay.audio": 0.001,
        "weight_decay.vision": 0.001,
        "weight_decay.other": 0.001,
    },
}
