"""TFN on the built-in synthetic dataset, with a small text encoder that is trained from nothing.

    msa-jax train tfn --data synthetic

Nothing was tuned. Elsewhere TFN leaves its text encoder alone; one from nothing has to be trained.
"""

PRESET = {
    "method": "tfn",
    "options": {
        "finetune_text": True,
        "batch_size": 16,
        "max_epochs": 30,
        "patience": 12,
        "learning_rate.text": 0.001,
    },
}
