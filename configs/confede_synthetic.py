"""ConFEDE on the built-in synthetic dataset, with a small text encoder that is trained from nothing.

    msa-jax train confede --data synthetic

Small encoders and heads, and no epochs with a frozen text encoder, which would have learned nothing yet. It is frozen
in the fusion as BERT is. The stages are shorter than the paper's, with early stops, so that they finish on two CPU
cores. Nothing was tuned.
"""

PRESET = {
    "method": "confede",
    "options": {
        "width": 64,
        "projection": 32,
        "fusion_hidden": [64, 32],
        "part_hidden": [32],
        "regressor_hidden": [64, 32],
        "text_head_share": 0.0,
        "patience": 8,
        "learning_rate.text": 0.001,
        "learning_rate.audio": 0.001,
        "learning_rate.vision": 0.001,
        "learning_rate.other": 0.001,
        "stage_text.max_epochs": 30,
        "stage_text.patience": 6,
        "stage_text.batch_size": 32,
        "stage_text.learning_rate": 0.001,
        "stage_text.warmup": 0.1,
        "stage_audio.max_epochs": 40,
        "stage_audio.patience": 8,
        "stage_audio.batch_size": 32,
        "stage_audio.learning_rate": 0.001,
        "stage_vision.max_epochs": 40,
        "stage_vision.patience": 8,
        "stage_vision.batch_size": 32,
        "stage_vision.learning_rate": 0.001,
        "stage_vision.warmup": 0.1,
    },
}
