"""Graph-MFN on SIMS with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train graph_mfn --data SIMS/Processed/unaligned_39.pkl --text-encoder features --preset graph_mfn_sims_mmsa

The networks of the vertices stay as they were drawn, LSTMs and memory walk padding, the validation loss is the mean of its
batches, rounded.
Unaligned frames come to the tokens by windows of the padded sequences, whatever their lengths.
The published row is probably from before December 2023, when MMSA aligned otherwise (`alignment` "strided").
Published by MMSA, mean of five seeds: MAE 0.445, Corr 0.578, Acc-2 78.77, Acc-3 65.65, Acc-5 39.82.
"""

PRESET = {
    "method": "graph_mfn",
    "protocol": "reference",
    "options": {
        "max_tokens": 39,
        "batch_size": 64,
        "learning_rate.audio": 0.0005,
        "learning_rate.vision": 0.0005,
        "learning_rate.other": 0.0005,
        "weight_decay.audio": 0.001,
        "weight_decay.vision": 0.001,
        "weight_decay.other": 0.001,
        "memory": 64,
        "layer.proposal": 256,
        "layer.retain": 32,
        "layer.update": 32,
        "dropout.proposal": 0.5,
        "dropout.retain": 0.2,
        "dropout.update": 0.7,
        "score_dropout": 0.2,
        "vertex": 128,
    },
}
