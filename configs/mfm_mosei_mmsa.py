"""MFM on MOSEI with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train mfm --data MOSEI/Processed/aligned_50.pkl --text-encoder features --preset mfm_mosei_mmsa

LSTMs and memory walk padding, which is written again too; the validation loss is the mean of its batches, rounded.
MMSA publishes no row. MMCL's run of it (its Table 1): MAE 0.580, Corr 0.722.
"""

PRESET = {
    "method": "mfm",
    "protocol": "reference",
    "options": {
        "weight_decay.audio": 0.0005,
        "weight_decay.vision": 0.0005,
        "weight_decay.other": 0.0005,
        "hidden.text": 256,
        "hidden.vision": 256,
        "layer.attention": 1278,
        "layer.proposal": 32,
        "layer.retain": 64,
        "layer.update": 128,
        "dropout.attention": 0.5,
        "dropout.proposal": 0.7,
        "dropout.retain": 0.5,
        "dropout.update": 0.2,
        "code.label": 32,
        "code.text": 256,
        "factor.label": 16,
        "factor.audio": 80,
        "factor.vision": 32,
        "factor_dropout.label": 0.2,
        "factor_dropout.text": 0.7,
        "factor_dropout.vision": 0.7,
        "factor_dropout.score": 0.2,
        "weights.text": 5.0,
        "weights.audio": 2.0,
        "weights.vision": 5.0,
        "weights.discrepancy": 10.0,
    },
}
