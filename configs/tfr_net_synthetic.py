"""TFR-Net on the built-in synthetic dataset, with a small text encoder that is trained from nothing.

    msa-jax train tfr_net --data synthetic

Small sizes and a rate at which an encoder without pretraining learns. Nothing was tuned.
"""

PRESET = {
    "method": "tfr_net",
    "options": {
        "batch_size": 16,
        "max_epochs": 30,
        "patience": 12,
        "width": 12,
        "heads": 2,
        "layers": 1,
        "gate_layers": 1,
        "hidden": 32,
        "learning_rate.text": 0.001,
    },
}
