"""TFN on SIMS, with MMSA's sizes and rates and without its quirks.

    msa-jax train tfn --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead.
The paper used GloVe vectors and other features, so its own sizes mean little here: MMSA's for SIMS stand here. MMSA has
no cap on epochs; 200 lie beyond where patience stops. Means are over valid frames, the LSTM ends at the last token, and
scores lie in the label range.
Published by MMSA, mean of five seeds: MAE 0.432, Corr 0.591, Acc-2 78.38, Acc-3 65.12, Acc-5 39.30. Self-MM's rerun of it
(its Table 3): MAE 0.428, Corr 0.605, Acc-2 79.86.
"""

PRESET = {
    "extends": "tfn_sims_mmsa",
    "protocol": "paper",
    "options": {
        "max_epochs": 200,
    },
}
