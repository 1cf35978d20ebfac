"""LMF on SIMS v2 with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train lmf --data SIMSv2/Processed/sims_unaligned.pkl --text-encoder features --preset lmf_simsv2_mmsa

The time means and the LSTM read padding, the weights of the products are not trained, the validation loss is the mean of
its batches, rounded.
Its number of tokens is not known here; set `max_tokens` to that of the file.
Published by MMSA, mean of five seeds: Acc-2 74.18, Acc-3 64.90, Acc-5 47.79, F1 73.88, MAE 0.367, Corr 0.557.
"""

PRESET = {
    "method": "lmf",
    "protocol": "reference",
    "options": {
        "batch_size": 32,
        "text_hidden": 64,
        "text_size": 32,
        "audio_size": 32,
        "vision_size": 64,
        "rank": 4,
        "learning_rate.audio": 0.002,
        "learning_rate.vision": 0.002,
        "learning_rate.other": 0.002,
        "learning_rate.factor": 0.0005,
        "weight_decay.audio": 0.0001,
        "weight_decay.vision": 0.0001,
        "weight_decay.other": 0.0001,
    },
}
