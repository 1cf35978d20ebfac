"""Self-MM on the built-in synthetic dataset, with a small text encoder that is trained from nothing.

    msa-jax train self_mm --data synthetic

Here, seeds 1111 to 1113: MAE 0.693 ± 0.024, Corr 0.794 ± 0.016, in one to two minutes on two CPU cores. Batch size and the
learning rates of audio and vision were chosen on valid.
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
