"""MFN on SIMS with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train mfn --data SIMS/Processed/unaligned_39.pkl --text-encoder features --preset mfn_sims_mmsa

Audio and vision are their time means at every step, LSTMs and memory walk padding, the validation loss is the mean of its
batches, rounded.
The means are over the padded sequences.
Published by MMSA, mean of five seeds: MAE 0.435, Corr 0.582, Acc-2 77.90, Acc-3 65.73, Acc-5 39.47.
"""

PRESET = {
    "method": "mfn",
    "protocol": "reference",
    "options": {
        "max_tokens": 39,
        "batch_size": 32,
        "learning_rate.audio": 0.001,
        "learning_rate.vision": 0.001,
        "learning_rate.other": 0.001,
        "hidden.text": 64,
        "hidden.audio": 16,
        "hidden.vision": 64,
        "memory": 64,
        "layer.attention": 128,
        "layer.proposal": 128,
        "layer.retain": 64,
        "layer.update": 64,
        "dropout.retain": 0.2,
        "dropout.update": 0.7,
        "score_hidden": 64,
        "score_dropout": 0.7,
    },
}
