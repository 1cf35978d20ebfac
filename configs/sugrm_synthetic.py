"""SUGRM on the built-in synthetic dataset, with a small text encoder trained from nothing.

    msa-jax train sugrm --data synthetic --seeds 1111 1112 1113

Batch size, epochs, patience and the rate of the text encoder are those of Self-MM's preset here, so that the two compare; the
learning rate of "others" is the paper's for MOSEI.
"""

PRESET = {
    "method": "sugrm",
    "options": {
        "batch_size": 16,
        "max_epochs": 30,
        "patience": 12,
        "learning_rate.text": 0.001,
        "learning_rate.other": 0.001,
    },
}
