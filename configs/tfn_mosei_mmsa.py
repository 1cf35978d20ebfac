"""TFN on MOSEI with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train tfn --data MOSEI/Processed/unaligned_50.pkl --text-encoder features --preset tfn_mosei_mmsa

The time means and the LSTM read padding, scores lie in ±3, the validation loss is the mean of its batches, rounded.
Published by MMSA, mean of five seeds: MAE 0.573, Corr 0.714, Acc-2 78.50/81.89. MMCL's rerun of it (its Table 1): MAE
0.570, Corr 0.716.
"""

PRESET = {
    "method": "tfn",
    "protocol": "reference",
    "options": {
        "batch_size": 128,
        "text_size": 128,
        "audio_size": 16,
        "fusion_hidden": 16,
        "dropout.audio": 0.4,
        "dropout.vision": 0.4,
        "dropout.fusion": 0.4,
        "learning_rate.audio": 0.005,
        "learning_rate.vision": 0.005,
        "learning_rate.other": 0.005,
    },
}
