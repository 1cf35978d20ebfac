"""MMCL on MOSI with one audio and one vision vector for each utterance, and a MiniLM text encoder.

    msa-jax train mmcl --data mosi_utterance --text-encoder MINILM

Sequences of one step: the vector is repeated beside every token, and what the target's CNN reads is one step. The
features are on raw scales, so they are standardised with the statistics of the training split. The split is not MOSI's
official one: compare only what ran on the same split.
"""

PRESET = {
    "method": "mmcl",
    "protocol": "paper",
    "options": {
        "standardise": "train",
    },
}
