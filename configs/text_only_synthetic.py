"""Text only on the built-in synthetic dataset, with a small text encoder that is trained from nothing.

msa-jax train text_only --data synthetic
"""

PRESET = {
    "method": "text_only",
    "options": {
        "max_epochs": 30,
        "learning_rate.text": 0.001,
    },
}
