"""LF-LSTM on MOSEI. Sizes and rates are ours, the same for every dataset; no code was published.

    msa-jax train lf_lstm --data MOSEI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead.
Aligned files do as well.
SUGRM prints for a system of this name MAE 0.625, Corr 0.655 (aligned, its Table 1) and MAE 0.624, Corr 0.656
(unaligned, its Table 2).
"""

PRESET = {
    "method": "lf_lstm",
    "options": {
        "max_epochs": 200,
    },
}
