"""RAVEN on the 31 videos of MOSI whose vision vectors do not know the labels, and a MiniLM text encoder. Approximate.

    msa-jax train raven --data mosi_clean --text-encoder MINILM

Nothing was tuned on this dataset: every option is that of `mosi_utterance`, which has the same features. They are on
raw scales, so they are standardised with the statistics of the training split. MiniLM is frozen and runs once. Every
token is shifted by the same vectors of audio and of vision. Sizes and rates are those of the authors' code for MOSI.
The split is by video and not MOSI's official one: compare only what ran on the same split.
"""

PRESET = {"extends": "raven_mosi_utterance"}
