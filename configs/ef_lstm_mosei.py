"""EF-LSTM on MOSEI, with MMSA's sizes and rates and without its quirks.

    msa-jax train ef_lstm --data MOSEI/Processed/aligned_50.pkl --text-encoder bert-base-uncased

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead.
Features are normalised, the LSTMs end at the last token. Weight decay is coupled, as it was when MMSA chose its
value.
MMSA has no cap on epochs; 200 lie beyond where patience stops.
Published by MMSA, mean of five seeds: MAE 0.601, Corr 0.683, Acc-2 77.84/80.79. SUGRM prints MAE 0.665, Corr 0.621
(its Table 1).
"""

PRESET = {
    "extends": "ef_lstm_mosei_mmsa",
    "protocol": "paper",
    "options": {
        "weight_decay_mode": "coupled",
        "max_epochs": 200,
    },
}
