"""EF-LSTM on the 31 videos of MOSI whose vision vectors do not know the labels, and a MiniLM text encoder.

    msa-jax train ef_lstm --data mosi_clean --text-encoder MINILM

Nothing was tuned on this dataset: every option is that of `mosi_utterance`, which has the same features. They are on
raw scales, so they are standardised with the statistics of the training split. The one vector of audio and of vision
stands beside every token. Sizes and rates are those of MMSA for MOSI. The split is by video and not MOSI's official
one: compare only what ran on the same split.
"""

PRESET = {"extends": "ef_lstm_mosi_utterance"}
