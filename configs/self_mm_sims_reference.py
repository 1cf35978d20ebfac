"""Self-MM on SIMS with the hyper-parameters and the quirks of the Self-MM repository.

    msa-jax train self_mm --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese --preset self_mm_sims_reference

Coupled weight decay, windows of four mini-batches with summed gradients, the last incomplete window dropped.
Its authors say that the values behind the paper's table are lost, so the published number is an upper band.
"""

PRESET = {
    "method": "self_mm",
    "protocol": "reference",
    "options": {
        "batch_size": 32,
        "zero_is_positive": True,
        "learning_rate.text": 5e-05,
        "weight_decay.text": 0.001,
        "learning_rate.audio": 0.005,
        "weight_decay.audio": 0.01,
        "learning_rate.vision": 0.005,
        "weight_decay.vision": 0.01,
        "learning_rate.other": 0.001,
        "weight_decay.other": 0.001,
        "audio_hidden": 16,
        "vision_hidden": 64,
        "audio_size": 16,
        "vision_size": 32,
        "feature_size.m": 128,
        "feature_size.t": 64,
        "feature_size.a": 16,
        "feature_size.v": 32,
        "dropout.m": 0.0,
        "dropout.t": 0.1,
        "dropout.a": 0.1,
        "dropout.v": 0.0,
        "max_tokens": 39,
        "label_limit": 1.0,
    },
}
