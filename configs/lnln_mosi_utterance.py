"""LNLN on MOSI with one audio and one vision vector for each utterance, and a MiniLM text encoder.

    msa-jax train lnln --data mosi_utterance --text-encoder MINILM

The features are on raw scales, so they are standardised with the statistics of the training split. A masked sample has its single
frame or none. The split is not MOSI's official one: compare only what ran on the same split. Nothing was tuned.

The vision vectors know the labels of train, and of no other split: `msa-jax data describe mosi_utterance --leaks` shows a Corr
of 0.71 on videos of train that were left out, and 0.07 on valid. Show results with `--leave-out vision` too, and rank no
methods by this dataset alone; `mosi_clean` holds the 31 videos without the leak.
"""

PRESET = {
    "extends": "lnln_mosi",
    "options": {
        "standardise": "train",
        "max_epochs": 60,
        "patience": 12,
    },
}
