"""Self-MM on MOSEI with the hyper-parameters and the quirks of the Self-MM repository.

    msa-jax train self_mm --data MOSEI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased --preset self_mm_mosei_reference

Coupled weight decay, windows of four mini-batches with summed gradients, the last incomplete window dropped.
Its authors say that the values behind the paper's table are lost, so the published number is an upper band.
"""

PRESET = {
    "extends": "self_mm_mosi_reference",
    "options": {
        "learning_rate.audio": 0.005,
        "weight_decay.audio": 0.0,
        "weight_decay.vision": 0.0,
        "weight_decay.other": 0.01,
        "vision_hidden": 32,
        "feature_size.t": 32,
        "feature_size.v": 16,
        "dropout.m": 0.0,
        "dropout.t": 0.1,
        "dropout.a": 0.0,
    },
}
