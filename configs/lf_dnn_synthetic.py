"""LF-DNN on the built-in synthetic dataset, with a small text encoder that is trained from nothing.

    msa-jax train lf_dnn --data synthetic

Sizes are those of MMSA for MOSI. Nothing was tuned. Elsewhere LF-DNN leaves its text encoder alone; one from nothing has to
be trained.
"""

PRESET = {
    "method": "lf_dnn",
    "options": {
        "finetune_text": True,
        "batch_size": 16,
        "max_epochs": 30,
        "patience": 12,
        "learning_rate.text": 0.001,
    },
}
