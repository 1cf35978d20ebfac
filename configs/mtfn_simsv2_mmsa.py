"""MTFN on SIMS v2 with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train mtfn --data SIMSv2/Processed/sims_unaligned.pkl --text-encoder features --preset mtfn_simsv2_mmsa

The time means and the LSTM read padding, the multimodal score lies in ±3, the validation loss is the mean of its batches,
rounded.
Its number of tokens is not known here; set `max_tokens` to that of the file.
Published by MMSA, mean of five seeds: Acc-2 80.43, Acc-3 73.71, Acc-5 56.05, F1 80.50, MAE 0.293, Corr 0.720.
"""

PRESET = {
    "method": "mtfn",
    "protocol": "reference",
    "options": {
        "batch_size": 32,
        "text_hidden": 64,
        "text_size": 32,
        "audio_size": 16,
        "vision_size": 64,
        "dropout.audio": 0.3,
        "dropout.vision": 0.3,
        "dropout.fusion": 0.5,
        "learning_rate.audio": 0.0005,
        "learning_rate.vision": 0.0005,
        "learning_rate.other": 0.0005,
        "weight_decay.text_subnetwork": 1e-05,
        "weight_decay.vision": 0.0001,
        "weights.t": 0.4,
        "weights.a": 0.4,
        "weights.v": 0.8,
        "head_hidden.text": 16,
        "head_hidden.audio": 5,
        "head_hidden.vision": 64,
        "head_dropout.text": 0.5,
        "head_dropout.audio": 0.5,
        "head_dropout.vision": 0.5,
    },
}
