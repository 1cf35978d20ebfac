"""TFN on SIMS v2 with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train tfn --data SIMSv2/Processed/sims_unaligned.pkl --text-encoder features --preset tfn_simsv2_mmsa

The time means and the LSTM read padding, scores lie in ±3, the validation loss is the mean of its batches, rounded.
Its number of tokens is not known here; set `max_tokens` to that of the file.
Published by MMSA, mean of five seeds: Acc-2 80.14, Acc-3 72.21, Acc-5 52.55, F1 80.14, MAE 0.303, Corr 0.707.
"""

PRESET = {
    "method": "tfn",
    "protocol": "reference",
    "options": {
        "batch_size": 128,
        "text_size": 128,
        "fusion_hidden": 32,
        "learning_rate.audio": 0.002,
        "learning_rate.vision": 0.002,
        "learning_rate.other": 0.002,
    },
}
