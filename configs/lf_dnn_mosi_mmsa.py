"""LF-DNN on MOSI with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train lf_dnn --data MOSI/Processed/unaligned_50.pkl --text-encoder features --preset lf_dnn_mosi_mmsa

The time means and the LSTM read padding, the validation loss is the mean of its batches, rounded.
Published by MMSA, mean of five seeds: MAE 0.955, Corr 0.658, Acc-2 77.52/78.63, Acc-7 34.52.
"""

PRESET = {
    "method": "lf_dnn",
    "protocol": "reference",
    "options": {
        "batch_size": 128,
        "text_hidden": 128,
        "text_size": 256,
        "audio_size": 16,
        "vision_size": 128,
        "fusion_hidden": 128,
        "dropout.audio": 0.2,
        "dropout.vision": 0.2,
        "dropout.fusion": 0.2,
        "learning_rate.audio": 0.001,
        "learning_rate.vision": 0.001,
        "learning_rate.other": 0.001,
        "weight_decay.audio": 0.01,
        "weight_decay.vision": 0.01,
        "weight_decay.other": 0.01,
    },
}
