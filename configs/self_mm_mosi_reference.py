"""Self-MM on MOSI with the hyper-parameters and the quirks of the Self-MM repository.

    msa-jax train self_mm --data MOSI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased --preset self_mm_mosi_reference

Coupled weight decay, windows of four mini-batches with summed gradients, the last incomplete window dropped.
Its authors say that the values behind the paper's table are lost, so the published number is an upper band.
"""

PRESET = {
    "method": "self_mm",
    "protocol": "reference",
    "options": {
        "zero_is_positive": True,
        "weight_decay.text": 0.001,
        "weight_decay.audio": 0.01,
        "learning_rate.vision": 0.0001,
        "weight_decay.vision": 0.001,
        "weight_decay.other": 0.001,
    },
}
