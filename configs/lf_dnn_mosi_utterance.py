"""LF-DNN on MOSI with one audio and one vision vector for each utterance, and a MiniLM text encoder.

    msa-jax train lf_dnn --data mosi_utterance --text-encoder MINILM

MiniLM is frozen and runs once. The features are on raw scales, so they are standardised with the statistics of the training
split. The split is not MOSI's official one: compare only what ran on the same split. Sizes and rates are those of MMSA for
MOSI; nothing was tuned.

The vision vectors know the labels of train, and of no other split: `msa-jax data describe mosi_utterance --leaks` shows a Corr
of 0.71 on videos of train that were left out, and 0.07 on valid. Show results with `--leave-out vision` too, and rank no
methods by this dataset alone; `mosi_clean` holds the 31 videos without the leak.
"""

PRESET = {
    "method": "lf_dnn",
    "options": {
        "standardise": "train",
        "max_epochs": 200,
    },
}
