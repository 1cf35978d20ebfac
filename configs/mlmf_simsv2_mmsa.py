"""MLMF on SIMS v2 with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train mlmf --data SIMSv2/Processed/sims_unaligned.pkl --text-encoder features --preset mlmf_simsv2_mmsa

The time means and the LSTM read padding, the weights of the products are not trained, the validation loss is the mean of
its batches, rounded.
Its number of tokens is not known here; set `max_tokens` to that of the file.
Published by MMSA, mean of five seeds: Acc-2 77.23, Acc-3 69.98, Acc-5 51.22, F1 77.3, MAE 0.322, Corr 0.670.
"""

PRESET = {
    "method": "mlmf",
    "protocol": "reference",
    "options": {
        "batch_size": 64,
        "text_hidden": 64,
        "text_size": 32,
        "audio_size": 16,
        "vision_size": 64,
        "rank": 6,
        "learning_rate.audio": 0.005,
        "learning_rate.vision": 0.005,
        "learning_rate.other": 0.005,
        "learning_rate.factor": 0.0005,
        "weight_decay.text_subnetwork": 0.0,
        "weight_decay.audio": 1e-05,
        "weight_decay.vision": 1e-05,
        "weight_decay.other": 0.001,
        "weights.m": 0.4,
        "weights.t": 0.0,
        "weights.a": 0.4,
        "head_hidden.text": 16,
        "head_hidden.audio": 5,
        "head_hidden.vision": 16,
    },
}
