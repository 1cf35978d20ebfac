"""MFM on SIMS, with MMSA's sizes and rates and without its quirks.

    msa-jax train mfm --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead.
LSTMs and memory end at the last token, and what lies beyond is not written again.
MMSA's 0.002 is a rate that its code never hands on: Adam runs at 0.001.
Audio and vision are averaged to the tokens of the text.
Weight decay is coupled, as it was when MMSA chose its value.
MMSA has no cap on epochs; 200 lie beyond where patience stops.
MMSA publishes no row.
Every network on frozen BERT states lies above the MAE of a fine-tuned BERT on the text alone.
"""

PRESET = {
    "method": "mfm",
    "protocol": "paper",
    "options": {
        "max_tokens": 39,
        "batch_size": 128,
        "weight_decay.audio": 0.005,
        "weight_decay.vision": 0.005,
        "weight_decay.other": 0.005,
        "hidden.text": 64,
        "hidden.audio": 16,
        "hidden.vision": 64,
        "memory": 128,
        "layer.retain": 64,
        "layer.update": 256,
        "dropout.attention": 0.5,
        "dropout.proposal": 0.5,
        "dropout.retain": 0.7,
        "dropout.update": 0.0,
        "code.label": 48,
        "code.text": 256,
        "code.audio": 32,
        "factor.label": 48,
        "factor.text": 256,
        "factor.audio": 80,
        "factor.vision": 48,
        "factor_dropout.text": 0.0,
        "factor_dropout.vision": 0.0,
        "factor_dropout.score": 0.7,
        "weights.vision": 0.01,
        "weights.discrepancy": 200.0,
        "weight_decay_mode": "coupled",
        "max_epochs": 200,
    },
}
