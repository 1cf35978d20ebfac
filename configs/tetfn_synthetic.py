"""TETFN on the built-in synthetic dataset, with a small text encoder that is trained from nothing.

msa-jax train tetfn --data synthetic
"""

PRESET = {
    "method": "tetfn",
    "options": {
        "batch_size": 16,
        "max_epochs": 30,
        "patience": 12,
        "width": 20,
        "learning_rate.text": 0.001,
    },
}
