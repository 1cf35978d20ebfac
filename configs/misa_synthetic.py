"""MISA on the built-in synthetic dataset, with a small text encoder that is trained from nothing.

    msa-jax train misa --data synthetic

Small sizes and a rate at which an encoder without pretraining learns. Nothing was tuned.
"""

PRESET = {
    "method": "misa",
    "options": {
        "batch_size": 32,
        "max_epochs": 25,
        "patience": 8,
        "hidden": 32,
        "fusion_feedforward": 64,
        "dropout": 0.1,
        "learning_rate.text": 0.001,
        "learning_rate.audio": 0.001,
        "learning_rate.vision": 0.001,
        "learning_rate.other": 0.001,
    },
}
