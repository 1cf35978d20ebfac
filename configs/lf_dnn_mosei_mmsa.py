"""LF-DNN on MOSEI with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train lf_dnn --data MOSEI/Processed/unaligned_50.pkl --text-encoder features --preset lf_dnn_mosei_mmsa

The time means and the LSTM read padding, the validation loss is the mean of its batches, rounded.
Published by MMSA, mean of five seeds: MAE 0.580, Corr 0.709, Acc-2 80.60/82.74.
"""

PRESET = {
    "method": "lf_dnn",
    "protocol": "reference",
    "options": {
        "batch_size": 64,
        "text_size": 128,
        "audio_size": 32,
        "learning_rate.audio": 0.002,
        "learning_rate.vision": 0.002,
        "learning_rate.other": 0.002,
        "weight_decay.audio": 0.001,
        "weight_decay.vision": 0.001,
        "weight_decay.other": 0.001,
    },
}
