"""Graph-MFN on SIMS v2 with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train graph_mfn --data SIMSv2/Processed/sims_unaligned.pkl --text-encoder features --preset graph_mfn_simsv2_mmsa

The networks of the vertices stay as they were drawn, LSTMs and memory walk padding, the validation loss is the mean of its
batches, rounded.
Unaligned frames come to the tokens by windows of the padded sequences, whatever their lengths.
Its number of tokens is not known here; set `max_tokens` to that of the file.
Published by MMSA, mean of five seeds: Acc-2 73.35, Acc-3 67.18, Acc-5 45.78, F1 72.60, MAE 0.379, Corr 0.574.
"""

PRESET = {
    "method": "graph_mfn",
    "protocol": "reference",
    "options": {
        "weight_decay.audio": 0.0,
        "weight_decay.vision": 0.0,
        "weight_decay.other": 0.0,
        "hidden.text": 64,
        "hidden.audio": 16,
        "hidden.vision": 64,
        "memory": 400,
        "layer.retain": 256,
        "layer.update": 256,
        "dropout.proposal": 0.7,
        "dropout.update": 0.2,
        "score_dropout": 0.2,
        "vertex": 32,
    },
}
