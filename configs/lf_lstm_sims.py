"""LF-LSTM on SIMS. Sizes and rates are ours, the same for every dataset; no code was published.

    msa-jax train lf_lstm --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead.
Aligned files do as well.
Nobody publishes numbers of it on SIMS.
"""

PRESET = {
    "method": "lf_lstm",
    "options": {
        "max_tokens": 39,
        "max_epochs": 200,
    },
}
