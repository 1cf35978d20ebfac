"""LF-DNN on MOSI, with MMSA's sizes and rates and without its quirks.

    msa-jax train lf_dnn --data MOSI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead.
No paper states sizes: MMSA's for MOSI are the defaults. MMSA has no cap on epochs; 200 lie beyond where patience stops. Means are
over valid frames, and the LSTM ends at the last token.
Published by MMSA, mean of five seeds: MAE 0.955, Corr 0.658, Acc-2 77.52/78.63, Acc-7 34.52.
A fine-tuned BERT on the text alone has an MAE of 0.819 in the independent rerun.
"""

PRESET = {
    "method": "lf_dnn",
    "options": {
        "max_epochs": 200,
    },
}
