"""RAVEN on the built-in synthetic dataset, with a small text encoder that is trained from nothing. Approximate.

    msa-jax train raven --data synthetic

Nothing was tuned. Elsewhere RAVEN leaves its text encoder alone; one from nothing has to be trained.
"""

PRESET = {
    "method": "raven",
    "options": {
        "finetune_text": True,
        "batch_size": 16,
        "max_epochs": 30,
        "patience": 12,
        "learning_rate.text": 0.001,
        "nonverbal": 32,
        "hidden": 64,
    },
}
