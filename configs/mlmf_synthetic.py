"""MLMF on the built-in synthetic dataset, with a small text encoder that is trained from nothing.

    msa-jax train mlmf --data synthetic

The dataset knows the sentiment of each modality. Sizes are smaller than MMSA's for SIMS. Nothing was tuned. Elsewhere MLMF
leaves its text encoder alone; one from nothing has to be trained.
"""

PRESET = {
    "method": "mlmf",
    "options": {
        "finetune_text": True,
        "batch_size": 16,
        "max_epochs": 30,
        "patience": 12,
        "learning_rate.text": 0.001,
        "text_hidden": 64,
        "text_size": 32,
        "vision_size": 32,
    },
}
