"""TFN on MOSI, with MMSA's sizes and rates and without its quirks.

    msa-jax train tfn --data MOSI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead.
The paper used GloVe vectors and other features, so its own sizes mean little here: MMSA's for MOSI are the defaults of the method. MMSA has
no cap on epochs; 200 lie beyond where patience stops. Means are over valid frames, the LSTM ends at the last token, and
scores lie in the label range.
Published by MMSA, mean of five seeds: MAE 0.947, Corr 0.673, Acc-2 77.99/79.08, Acc-7 34.46; an independent rerun of ten
seeds gave MAE 0.973 (sd 0.047), Corr 0.651, Acc-7 34.7. MMCL's rerun of it (its Table 1): MAE 0.925, Corr 0.662.
A fine-tuned BERT on the text alone has an MAE of 0.819 in the independent rerun.
"""

PRESET = {
    "method": "tfn",
    "options": {
        "max_epochs": 200,
    },
}
