"""MMIM on the built-in synthetic dataset, with a small text encoder that is trained from nothing.

    msa-jax train mmim --data synthetic

Sizes and weights are those of the authors' code for MOSI, with a rate at which an encoder without pretraining learns.
Nothing was tuned.
"""

PRESET = {
    "method": "mmim",
    "options": {
        "batch_size": 16,
        "max_epochs": 30,
        "patience": 12,
        "learning_rate.text": 0.001,
    },
}
