"""LMF on MOSEI, with MMSA's sizes and rates and without its quirks.

    msa-jax train lmf --data MOSEI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead.
The paper used GloVe vectors and other features, so its own sizes mean little here: MMSA's for MOSEI stand here. MMSA has no
cap on epochs; 200 lie beyond where patience stops. Means are over valid frames, and the LSTM ends at the last token. What
weighs the products is trained.
Published by MMSA, mean of five seeds: MAE 0.576, Corr 0.717, Acc-2 80.54/83.48. MMCL's rerun of it (its Table 1): MAE
0.568, Corr 0.727.
"""

PRESET = {
    "extends": "lmf_mosei_mmsa",
    "protocol": "paper",
    "options": {
        "max_epochs": 200,
    },
}
