"""LF-DNN on SIMS v2 with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train lf_dnn --data SIMSv2/Processed/sims_unaligned.pkl --text-encoder features --preset lf_dnn_simsv2_mmsa

The time means and the LSTM read padding, the validation loss is the mean of its batches, rounded.
Its number of tokens is not known here; set `max_tokens` to that of the file.
Published by MMSA, mean of five seeds: Acc-2 79.36, Acc-3 72.59, Acc-5 52.76, F1 79.46, MAE 0.301, Corr 0.712.
"""

PRESET = {
    "method": "lf_dnn",
    "protocol": "reference",
    "options": {
        "text_hidden": 64,
        "audio_size": 32,
        "vision_size": 64,
        "fusion_hidden": 32,
        "dropout.audio": 0.4,
        "dropout.vision": 0.4,
        "dropout.fusion": 0.4,
        "learning_rate.audio": 0.005,
        "learning_rate.vision": 0.005,
        "learning_rate.other": 0.005,
        "weight_decay.audio": 0.0,
        "weight_decay.vision": 0.0,
        "weight_decay.other": 0.0,
    },
}
