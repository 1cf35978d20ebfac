"""LF-LSTM on MOSI. Sizes and rates are ours, the same for every dataset; no code was published.

    msa-jax train lf_lstm --data MOSI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead.
Aligned files do as well.
SUGRM prints for a system of this name MAE 1.037, Corr 0.620 (aligned, its Table 1) and MAE 0.988, Corr 0.624
(unaligned, its Table 2).
A fine-tuned BERT on the text alone has an MAE of 0.819 in the independent rerun.
"""

PRESET = {
    "method": "lf_lstm",
    "options": {
        "max_epochs": 200,
    },
}
