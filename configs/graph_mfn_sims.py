"""Graph-MFN on SIMS, with MMSA's sizes and rates and without its quirks.

    msa-jax train graph_mfn --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead.
The networks of all vertices are trained, LSTMs and memory end at the last token.
Audio and vision are averaged to the tokens of the text.
Weight decay is coupled, as it was when MMSA chose its value.
MMSA has no cap on epochs; 200 lie beyond where patience stops.
Published by MMSA, mean of five seeds: MAE 0.445, Corr 0.578, Acc-2 78.77, Acc-3 65.65, Acc-5 39.82.
Every network on frozen BERT states lies above the MAE of a fine-tuned BERT on the text alone.
"""

PRESET = {
    "method": "graph_mfn",
    "protocol": "paper",
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
        "weight_decay_mode": "coupled",
        "max_epochs": 200,
    },
}
