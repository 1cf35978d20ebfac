"""TFN on SIMS with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train tfn --data SIMS/Processed/unaligned_39.pkl --text-encoder features --preset tfn_sims_mmsa

The time means and the LSTM read padding, scores lie in ±3, the validation loss is the mean of its batches, rounded.
Published by MMSA, mean of five seeds: MAE 0.432, Corr 0.591, Acc-2 78.38, Acc-3 65.12, Acc-5 39.30. Self-MM's rerun of it
(its Table 3): MAE 0.428, Corr 0.605, Acc-2 79.86.
"""

PRESET = {
    "method": "tfn",
    "protocol": "reference",
    "options": {
        "max_tokens": 39,
        "text_size": 256,
        "fusion_hidden": 32,
        "dropout.audio": 0.4,
        "dropout.vision": 0.4,
        "dropout.fusion": 0.4,
        "learning_rate.audio": 0.0005,
        "learning_rate.vision": 0.0005,
        "learning_rate.other": 0.0005,
    },
}
