"""Self-MM on the built-in synthetic dataset, with a small text encoder that is trained from nothing.

    msa-jax train self_mm --data synthetic

Batch size and the learning rates of audio and vision were chosen on valid.
"""

PRESET = {
    "method": "self_mm",
    "options": {
        "batch_size": 16,
        "max_epochs": 30,
        "patience": 12,
        "learning_rate.text": 0.001,
        "learning_rate.audio": 0.005,
        "learning_rate.vision": 0.005,
    },
}
