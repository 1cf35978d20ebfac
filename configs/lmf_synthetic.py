"""LMF on the built-in synthetic dataset, with a small text encoder that is trained from nothing.

    msa-jax train lmf --data synthetic

Sizes are those of MMSA for MOSI. Nothing was tuned. Elsewhere LMF leaves its text encoder alone; one from nothing has to be
trained.
"""

PRESET = {
    "method": "lmf",
    "options": {
        "finetune_text": True,
        "batch_size": 16,
        "max_epochs": 30,
        "patience": 12,
        "learning_rate.text": 0.001,
    },
}
