"""SPT on the 31 videos of MOSI whose vision vectors do not know the labels, and a MiniLM text encoder.

    msa-jax train spt --data mosi_clean --text-encoder MINILM

Nothing was tuned on this dataset: every option is that of `mosi_utterance`, which has the same features. They are on
raw scales, so they are standardised with the statistics of the training split. MiniLM is frozen and runs once. Audio
and vision have one step, so that attention to them has nothing to choose from. Sizes and rates are those of the
authors' code. The split is by video and not MOSI's official one: compare only what ran on the same split.
"""

PRESET = {"extends": "spt_mosi_utterance"}
