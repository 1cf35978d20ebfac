"""LF-LSTM on SIMS v2, with sizes and rates that are ours, the same for every dataset; no code was published.

    msa-jax train lf_lstm --data SIMSv2/Processed/sims_unaligned.pkl --text-encoder bert-base-chinese --preset lf_lstm_simsv2

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead. The number of
tokens of the file is not known here; set `max_tokens` to it. Nothing was tuned, and nothing is published to compare
with.
"""

PRESET = {
    "method": "lf_lstm",
    "options": {
        "max_epochs": 200,
    },
}
