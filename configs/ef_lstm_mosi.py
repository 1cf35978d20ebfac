"""EF-LSTM on MOSI, with MMSA's sizes and rates and without its quirks.

    msa-jax train ef_lstm --data MOSI/Processed/aligned_50.pkl --text-encoder bert-base-uncased

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead.
Features are normalised, the LSTMs end at the last token. Weight decay is coupled, as it was when MMSA chose its
value.
MMSA has no cap on epochs; 200 lie beyond where patience stops.
Published by MMSA, mean of five seeds: MAE 0.949, Corr 0.669, Acc-2 77.38/78.48, Acc-7 35.39. In an independent rerun
of its code it collapsed. SUGRM prints MAE 1.053, Corr 0.613 (its Table 1).
A fine-tuned BERT on the text alone has an MAE of 0.819 in the independent rerun.
"""

PRESET = {
    "method": "ef_lstm",
    "options": {
        "weight_decay.other": 0.005,
        "weight_decay_mode": "coupled",
        "max_epochs": 200,
    },
}
