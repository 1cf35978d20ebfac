"""Self-MM on the built-in synthetic dataset, with a small text encoder that is trained from nothing.

    msa-jax train self_mm --data synthetic

EXPECT
"""

PRESET = {
    "method": "self_mm",
    "protocol": "paper",
    "options": {
        "text_encoder": "scratch",
        "max_epochs": 30,
        "patience": 8,
        "learning_rate.text": 0.001,
        "learning_rate.audio": 0.002,
        "learning_rate.vision": 0.002,
        "learning_rate.other": 0.001,
    },
}
