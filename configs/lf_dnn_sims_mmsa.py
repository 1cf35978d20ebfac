"""LF-DNN on SIMS with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train lf_dnn --data SIMS/Processed/unaligned_39.pkl --text-encoder features --preset lf_dnn_sims_mmsa

The time means and the LSTM read padding, the validation loss is the mean of its batches, rounded.
Published by MMSA, mean of five seeds: MAE 0.446, Corr 0.555, Acc-2 77.02, Acc-3 64.33, Acc-5 39.74.
"""

PRESET = {
    "method": "lf_dnn",
    "protocol": "reference",
    "options": {
        "max_tokens": 39,
        "audio_size": 32,
        "fusion_hidden": 32,
        "dropout.audio": 0.3,
        "dropout.vision": 0.3,
        "dropout.fusion": 0.5,
        "learning_rate.audio": 0.005,
        "learning_rate.vision": 0.005,
        "learning_rate.other": 0.005,
        "weight_decay.audio": 0.005,
        "weight_decay.vision": 0.005,
        "weight_decay.other": 0.005,
    },
}
