"""TFN on MOSEI, with MMSA's sizes and rates and without its quirks.

    msa-jax train tfn --data MOSEI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead.
The paper used GloVe vectors and other features, so its own sizes mean little here: MMSA's for MOSEI stand here. MMSA has
no cap on epochs; 200 lie beyond where patience stops. Means are over valid frames, the LSTM ends at the last token, and
scores lie in the label range.
Published by MMSA, mean of five seeds: MAE 0.573, Corr 0.714, Acc-2 78.50/81.89. MMCL's rerun of it (its Table 1): MAE
0.570, Corr 0.716.
"""

PRESET = {
    "extends": "tfn_mosei_mmsa",
    "protocol": "paper",
    "options": {
        "max_epochs": 200,
    },
}
