"""MFN on MOSI with one audio and one vision vector for each utterance, and a MiniLM text encoder.

    msa-jax train mfn --data mosi_utterance --text-encoder MINILM

The one vector of audio and of vision stands beside every token. Sizes and rates are MMSA's for MOSI.
The features are on raw scales, so they are standardised with the statistics of the training split. The split is not
MOSI's official one: compare only what ran on the same split.
"""

PRESET = {
    "method": "mfn",
    "protocol": "paper",
    "options": {
        "standardise": "train",
        "max_epochs": 200,
    },
}
