"""Text only on the built-in synthetic dataset, with a small text encoder that is trained from nothing.

    msa-jax train text_only --data synthetic

Compare every other method on this dataset with it.
"""

PRESET = {
    "method": "text_only",
    "options": {
        "max_epochs": 30,
        "learning_rate.text": 0.001,
    },
}
