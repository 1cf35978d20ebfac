"""MFN on SIMS v2 with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train mfn --data SIMSv2/Processed/sims_unaligned.pkl --text-encoder features --preset mfn_simsv2_mmsa

Audio and vision are their time means at every step, LSTMs and memory walk padding, the validation loss is the mean of its
batches, rounded.
The means are over the padded sequences.
Its number of tokens is not known here; set `max_tokens` to that of the file.
Published by MMSA, mean of five seeds: Acc-2 81.14, Acc-3 73.66, Acc-5 54.53, F1 81.19, MAE 0.295, Corr 0.727.
"""

PRESET = {
    "method": "mfn",
    "protocol": "reference",
    "options": {
        "batch_size": 64,
        "learning_rate.audio": 0.001,
        "learning_rate.vision": 0.001,
        "learning_rate.other": 0.001,
        "hidden.text": 128,
        "hidden.audio": 16,
        "hidden.vision": 128,
        "layer.proposal": 128,
        "layer.retain": 32,
        "dropout.proposal": 0.5,
        "dropout.retain": 0.5,
        "dropout.update": 0.2,
        "score_hidden": 64,
        "score_dropout": 0.2,
    },
}
