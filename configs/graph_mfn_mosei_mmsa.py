"""Graph-MFN on MOSEI with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train graph_mfn --data MOSEI/Processed/aligned_50.pkl --text-encoder features --preset graph_mfn_mosei_mmsa

The networks of the vertices stay as they were drawn, LSTMs and memory walk padding, the validation loss is the mean of its
batches, rounded.
Published by MMSA, mean of five seeds: MAE 0.575, Corr 0.713, Acc-2 81.28/83.48.
"""

PRESET = {
    "method": "graph_mfn",
    "protocol": "reference",
    "options": {
        "batch_size": 64,
        "weight_decay.audio": 0.001,
        "weight_decay.vision": 0.001,
        "weight_decay.other": 0.001,
        "hidden.text": 64,
        "hidden.audio": 16,
        "hidden.vision": 64,
        "layer.retain": 64,
        "layer.update": 256,
        "dropout.proposal": 0.5,
        "dropout.retain": 0.0,
        "dropout.update": 0.7,
        "score_hidden": 128,
        "score_dropout": 0.7,
        "vertex": 128,
    },
}
