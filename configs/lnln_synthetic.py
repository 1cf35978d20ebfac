"""LNLN on the built-in synthetic dataset, with a small text encoder that is trained from nothing.

    msa-jax train lnln --data synthetic

Small sizes and a rate at which an encoder without pretraining learns. Nothing was tuned.
"""

PRESET = {
    "method": "lnln",
    "options": {
        "batch_size": 16,
        "max_epochs": 30,
        "patience": 12,
        "width": 32,
        "heads": 4,
        "head_width": 8,
        "feedforward": 32,
        "learning_rate.text": 0.001,
        "learning_rate.audio": 0.001,
        "learning_rate.vision": 0.001,
        "learning_rate.other": 0.001,
    },
}
