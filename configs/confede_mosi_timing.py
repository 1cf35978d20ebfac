"""ConFEDE on MOSI with the times of the words as audio, no vision, and a MiniLM text encoder.

    msa-jax train confede --data mosi --text-encoder MINILM --preset confede_mosi_timing

Vision is absent, and so are its parts and its stage. The times are in seconds, so they are standardised with the
statistics of the training split. The stages are shorter than the paper's, with early stops, so that they finish on two
CPU cores. Nothing was tuned.
"""

PRESET = {
    "method": "confede",
    "options": {
        "standardise": "train",
        "patience": 8,
        "stage_text.max_epochs": 30,
        "stage_text.patience": 6,
        "stage_text.batch_size": 32,
        "stage_text.learning_rate": 5e-05,
        "stage_text.warmup": 0.1,
        "stage_audio.max_epochs": 40,
        "stage_audio.patience": 8,
        "stage_audio.batch_size": 32,
    },
}
