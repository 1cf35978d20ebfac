"""EF-LSTM on SIMS, with MMSA's sizes and rates and without its quirks.

    msa-jax train ef_lstm --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead.
Audio and vision are averaged to the tokens of the text. Features are normalised, the LSTMs end at the last token.
Weight decay is coupled, as it was when MMSA chose its value.
MMSA has no cap on epochs; 200 lie beyond where patience stops.
Published by MMSA, mean of five seeds: MAE 0.591, Corr 0.055, Acc-2 69.37, Acc-3 54.27, Acc-5 21.23: a constant score.
"""

PRESET = {
    "extends": "ef_lstm_sims_mmsa",
    "protocol": "paper",
    "options": {
        "weight_decay_mode": "coupled",
        "max_epochs": 200,
    },
}
