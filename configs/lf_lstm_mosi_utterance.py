"""LF-LSTM on MOSI with one audio and one vision vector for each utterance, and a MiniLM text encoder.

    msa-jax train lf_lstm --data mosi_utterance --text-encoder MINILM

An LSTM of one step reads audio, and one reads vision. Sizes and rates are the defaults, which are ours; no code was
published.
The features are on raw scales, so they are standardised with the statistics of the training split. The split is not
MOSI's official one: compare only what ran on the same split.
"""

PRESET = {
    "method": "lf_lstm",
    "protocol": "paper",
    "options": {
        "standardise": "train",
        "max_epochs": 200,
    },
}
