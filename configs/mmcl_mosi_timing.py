"""MMCL on MOSI with the times of the words as audio, no vision, and a MiniLM text encoder.

    msa-jax train mmcl --data mosi --text-encoder MINILM --preset mmcl_mosi_timing

Vision is absent and not predicted. Text predicts audio, and the bi-modal network over text and audio goes into the score
without a target. The times are in seconds, so they are standardised with the statistics of the training split. The learning
rate is the default, 1e-3, the paper's for CMU-MOSEI; for CMU-MOSI with its own features it has 5e-3.
"""

PRESET = {
    "method": "mmcl",
    "options": {
        "standardise": "train",
    },
}
