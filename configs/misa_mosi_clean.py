"""MISA on the 31 videos of MOSI whose vision vectors do not know the labels, and a MiniLM text encoder.

    msa-jax train misa --data mosi_clean --text-encoder MINILM

Nothing was tuned on this dataset: every option is that of `mosi_utterance`, which has the same features. They are on
raw scales, so they are standardised with the statistics of the training split. An LSTM of one step reads audio, and
one reads vision. Sizes, rates and weights are those of the authors' code for MOSI. The split is by video and not
MOSI's official one: compare only what ran on the same split.
"""

PRESET = {"extends": "misa_mosi_utterance"}
