"""SUGRM on MOSI with one audio and one vision vector for each utterance, and a MiniLM text encoder.

    msa-jax train sugrm --data mosi_utterance --text-encoder MINILM

The features are on raw scales, so they are standardised with the statistics of the training split. The split is not
MOSI's official one: compare only what ran on the same split. The learning rate of "others" is the paper's for MOSEI.
"""

PRESET = {
    "method": "sugrm",
    "protocol": "paper",
    "options": {
        "standardise": "train",
        "learning_rate.other": 0.001,
    },
}
