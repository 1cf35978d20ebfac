"""MLF-DNN on SIMS v2 with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train mlf_dnn --data SIMSv2/Processed/sims_unaligned.pkl --text-encoder features --preset mlf_dnn_simsv2_mmsa

The time means and the LSTM read padding, the validation loss is the mean of its batches, rounded.
Its number of tokens is not known here; set `max_tokens` to that of the file.
Published by MMSA, mean of five seeds: Acc-2 76.59, Acc-3 68.47, Acc-5 49.67, F1 76.62, MAE 0.335, Corr 0.640.
"""

PRESET = {
    "method": "mlf_dnn",
    "protocol": "reference",
    "options": {
        "batch_size": 64,
        "text_hidden": 128,
        "vision_size": 128,
        "fusion_hidden": 64,
        "dropout.audio": 0.2,
        "dropout.vision": 0.2,
        "dropout.fusion": 0.3,
        "learning_rate.audio": 0.005,
        "learning_rate.vision": 0.005,
        "learning_rate.other": 0.005,
        "weight_decay.text_subnetwork": 0.0,
        "weight_decay.audio": 1e-05,
        "weight_decay.vision": 1e-05,
        "weight_decay.other": 0.0001,
        "weights.m": 0.8,
        "weights.a": 0.6,
        "weights.v": 0.8,
        "head_hidden.text": 32,
        "head_hidden.vision": 64,
        "head_dropout.text": 0.3,
        "head_dropout.audio": 0.3,
        "head_dropout.vision": 0.3,
    },
}
