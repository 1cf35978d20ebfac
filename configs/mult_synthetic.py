"""MulT on the built-in synthetic dataset, with a small text encoder that is trained from nothing.

    msa-jax train mult --data synthetic

Elsewhere MulT leaves its text encoder alone; one from nothing has to be trained.
"""

PRESET = {
    "method": "mult",
    "options": {
        "finetune_text": True,
        "batch_size": 16,
        "max_epochs": 30,
        "patience": 12,
        "layers": 2,
        "learning_rate.text": 0.001,
    },
}
