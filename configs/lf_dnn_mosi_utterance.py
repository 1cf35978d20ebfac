"""LF-DNN on MOSI with one audio and one vision vector for each utterance, and a MiniLM text encoder.

    msa-jax train lf_dnn --data mosi_utterance --text-encoder MINILM

MiniLM is frozen and runs once. The features are on raw scales, so they are standardised with the statistics of the training
split. The split is not MOSI's official one: compare only what ran on the same split. Sizes and rates are those of MMSA for
MOSI; nothing was tuned.
"""

PRESET = {
    "method": "lf_dnn",
    "protocol": "paper",
    "options": {
        "standardise": "train",
        "max_epochs": 200,
    },
}
