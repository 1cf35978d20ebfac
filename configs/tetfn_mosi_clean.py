"""TETFN on the 31 videos of MOSI whose vision vectors do not know the labels, and a MiniLM text encoder.

    msa-jax train tetfn --data mosi_clean --text-encoder MINILM

Nothing was tuned on this dataset: every option is that of `mosi_utterance`, which has the same features. They are on
raw scales, so they are standardised with the statistics of the training split. An LSTM of one step reads audio, and
one reads vision. Sizes and rates are those of MMSA for MOSI, without its weight decay and its windows of mini-batches.
The split is by video and not MOSI's official one: compare only what ran on the same split.
"""

PRESET = {"extends": "tetfn_mosi_utterance"}
