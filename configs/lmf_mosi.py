"""LMF on MOSI, with MMSA's sizes and rates and without its quirks.

    msa-jax train lmf --data MOSI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead.
The paper used GloVe vectors and other features, so its own sizes mean little here: MMSA's for MOSI are the defaults. MMSA has no
cap on epochs; 200 lie beyond where patience stops. Means are over valid frames, and the LSTM ends at the last token. What
weighs the products is trained.
Published by MMSA, mean of five seeds: MAE 0.950, Corr 0.651, Acc-2 77.90/79.18, Acc-7 33.82; an independent rerun of ten
seeds gave MAE 0.958, Corr 0.656, Acc-7 34.5. MMCL's rerun of it (its Table 1): MAE 0.931, Corr 0.670.
A fine-tuned BERT on the text alone has an MAE of 0.819 in the independent rerun.
"""

PRESET = {
    "method": "lmf",
    "options": {
        "max_epochs": 200,
    },
}
