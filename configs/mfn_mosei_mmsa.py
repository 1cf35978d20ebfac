"""MFN on MOSEI with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train mfn --data MOSEI/Processed/aligned_50.pkl --text-encoder features --preset mfn_mosei_mmsa

Audio and vision are their time means at every step, LSTMs and memory walk padding, the validation loss is the mean of its
batches, rounded.
Published by MMSA, mean of five seeds: MAE 0.573, Corr 0.718, Acc-2 78.94/82.86. MMCL's rerun of it (its Table 1): MAE
0.575, Corr 0.720.
"""

PRESET = {
    "method": "mfn",
    "protocol": "reference",
    "options": {
        "batch_size": 64,
        "learning_rate.audio": 0.0005,
        "learning_rate.vision": 0.0005,
        "learning_rate.other": 0.0005,
        "weight_decay.audio": 0.0001,
        "weight_decay.vision": 0.0001,
        "weight_decay.other": 0.0001,
        "hidden.text": 128,
        "hidden.vision": 128,
        "memory": 128,
        "layer.attention": 128,
        "layer.proposal": 128,
        "layer.update": 256,
        "dropout.proposal": 0.5,
        "dropout.update": 0.0,
        "score_dropout": 0.5,
    },
}
