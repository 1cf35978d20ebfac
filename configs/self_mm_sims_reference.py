"""Self-MM on SIMS with the hyper-parameters and the quirks of the Self-MM repository.

    msa-jax train self_mm --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese --preset self_mm_sims_reference

Coupled weight decay, windows of four mini-batches with summed gradients, the last incomplete window dropped.
Its authors say that the values behind the paper's table are lost, so the published number is an upper band.
"""

PRESET = {
    "method": "self_mm",
    "protocol": "reference",
    "options": {
        "zero_is_positive": True,
        "weight_decay.text": 0.001,
        "learning_rate.audio": 0.005,
        "weight_decay.audio": 0.01,
        "learning_rate.vision": 0.005,
        "weight_decay.vision": 0.01,
        "weight_decay.other": 0.001,
        "audio_hidden": 16,
        "dropout.m": 0.0,
        "dropout.t": 0.1,
        "dropout.v": 0.0,
        "max_tokens": 39,
        "label_limit": 1.0,
    },
}
