"""MAG-BERT on MOSI with one audio and one vision vector for each utterance, and a MiniLM text encoder.

    msa-jax train mag_bert --data mosi_utterance --text-encoder MINILM

Sequences of one step: every token is shifted by the same vectors. The features are on raw scales, so they are standardised
with the statistics of the training split. The split is not MOSI's official one: compare only what ran on the same split.
"""

PRESET = {
    "method": "mag_bert",
    "protocol": "paper",
    "options": {
        "standardise": "train",
    },
}
