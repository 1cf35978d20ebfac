"""LF-DNN on SIMS, with MMSA's sizes and rates and without its quirks.

    msa-jax train lf_dnn --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead.
No paper states sizes: MMSA's for SIMS stand here. MMSA has no cap on epochs; 200 lie beyond where patience stops. Means are
over valid frames, and the LSTM ends at the last token.
Published by MMSA, mean of five seeds: MAE 0.446, Corr 0.555, Acc-2 77.02, Acc-3 64.33, Acc-5 39.74.
"""

PRESET = {
    "extends": "lf_dnn_sims_mmsa",
    "protocol": "paper",
    "options": {
        "max_epochs": 200,
    },
}
