"""LF-DNN on MOSEI, with MMSA's sizes and rates and without its quirks.

    msa-jax train lf_dnn --data MOSEI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead.
No paper states sizes: MMSA's for MOSEI stand here. MMSA has no cap on epochs; 200 lie beyond where patience stops. Means
are over valid frames, and the LSTM ends at the last token.
Published by MMSA, mean of five seeds: MAE 0.580, Corr 0.709, Acc-2 80.60/82.74.
"""

PRESET = {
    "extends": "lf_dnn_mosei_mmsa",
    "protocol": "paper",
    "options": {
        "max_epochs": 200,
    },
}
