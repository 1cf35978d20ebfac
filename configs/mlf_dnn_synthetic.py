"""MLF-DNN on the built-in synthetic dataset, with a small text encoder that is trained from nothing.

    msa-jax train mlf_dnn --data synthetic

The dataset knows the sentiment of each modality. Sizes are smaller than MMSA's for SIMS. Nothing was tuned. Elsewhere
MLF-DNN leaves its text encoder alone; one from nothing has to be trained.
"""

PRESET = {
    "method": "mlf_dnn",
    "options": {
        "finetune_text": True,
        "batch_size": 16,
        "max_epochs": 30,
        "patience": 12,
        "learning_rate.text": 0.001,
        "learning_rate.audio": 0.001,
        "learning_rate.vision": 0.001,
        "learning_rate.other": 0.001,
        "vision_size": 32,
    },
}
