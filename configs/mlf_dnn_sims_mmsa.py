"""MLF-DNN on SIMS with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train mlf_dnn --data SIMS/Processed/unaligned_39.pkl --text-encoder features --preset mlf_dnn_sims_mmsa

The time means and the LSTM read padding, the validation loss is rounded.
Published by MMSA, mean of five seeds: MAE 0.396, Corr 0.665, Acc-2 80.44, Acc-3 69.37, Acc-5 40.22. These runs are older
than MMSA's commit that trains the heads: there they kept their random start (`--freeze _head/`).
"""

PRESET = {
    "method": "mlf_dnn",
    "protocol": "reference",
    "options": {
        "max_tokens": 39,
        "batch_size": 32,
        "text_hidden": 64,
        "text_size": 32,
        "audio_size": 32,
        "vision_size": 64,
        "fusion_hidden": 32,
        "dropout.audio": 0.3,
        "dropout.vision": 0.3,
        "dropout.fusion": 0.5,
        "learning_rate.audio": 0.002,
        "learning_rate.vision": 0.002,
        "learning_rate.other": 0.002,
        "weight_decay.text_subnetwork": 0.0001,
        "weight_decay.audio": 0.001,
        "weight_decay.vision": 0.0001,
        "weight_decay.other": 0.0,
        "weights.m": 0.6,
        "weights.t": 0.2,
        "weights.a": 0.8,
        "weights.v": 0.8,
        "head_hidden.text": 16,
        "head_hidden.audio": 4,
        "head_hidden.vision": 32,
        "head_dropout.text": 0.5,
        "head_dropout.audio": 0.5,
        "head_dropout.vision": 0.5,
    },
}
