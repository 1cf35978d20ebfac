"""MFM on MOSI with one audio and one vision vector for each utterance, and a MiniLM text encoder.

    msa-jax train mfm --data mosi_utterance --text-encoder MINILM

The one vector of audio and of vision stands beside every token. Sizes and rates are MMSA's for MOSI.
The features are on raw scales, so they are standardised with the statistics of the training split. The split is not
MOSI's official one: compare only what ran on the same split.
The weights of the losses are those for MOSI's features on their own scale, and were not tuned again.

The vision vectors know the labels of train, and of no other split: `msa-jax data describe mosi_utterance --leaks` shows a Corr
of 0.71 on videos of train that were left out, and 0.07 on valid. Show results with `--leave-out vision` too, and rank no
methods by this dataset alone; `mosi_clean` holds the 31 videos without the leak.
"""

PRESET = {
    "extends": "mfm_mosi",
    "options": {
        "standardise": "train",
    },
}
