"""DMMSA on the 31 videos of MOSI whose vision vectors do not know the labels, and a MiniLM text encoder.

    msa-jax train dmmsa --data mosi_clean --text-encoder MINILM

Nothing was tuned on this dataset: every option is that of `mosi_utterance`, which has the same features. They are on
raw scales, so they are standardised with the statistics of the training split. The stages are those of ConFEDE:
shorter than the paper's, with early stops, as on `mosi_utterance`. The split is by video and not MOSI's official one:
compare only what ran on the same split.
"""

PRESET = {"extends": "dmmsa_mosi_utterance"}
