"""MFM on SIMS with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train mfm --data SIMS/Processed/unaligned_39.pkl --text-encoder features --preset mfm_sims_mmsa

LSTMs and memory walk padding, which is written again too; the validation loss is the mean of its batches, rounded.
MMSA's 0.002 is a rate that its code never hands on: Adam runs at 0.001.
Unaligned frames come to the tokens by windows of the padded sequences, whatever their lengths.
MMSA publishes no row.
"""

PRESET = {
    "method": "mfm",
    "protocol": "reference",
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
    },
}
