"""LMF on SIMS, with MMSA's sizes and rates and without its quirks.

    msa-jax train lmf --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead.
The paper used GloVe vectors and other features, so its own sizes mean little here: MMSA's for SIMS stand here. MMSA has no
cap on epochs; 200 lie beyond where patience stops. Means are over valid frames, and the LSTM ends at the last token. What
weighs the products is trained.
Published by MMSA, mean of five seeds: MAE 0.441, Corr 0.576, Acc-2 77.77, Acc-3 64.68, Acc-5 40.53. Self-MM's rerun of it
(its Table 3): MAE 0.431, Corr 0.600, Acc-2 79.37.
"""

PRESET = {
    "extends": "lmf_sims_mmsa",
    "protocol": "paper",
    "options": {
        "max_epochs": 200,
    },
}
