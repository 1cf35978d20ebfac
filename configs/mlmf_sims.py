"""MLMF on SIMS, with MMSA's sizes and rates and without its quirks.

    msa-jax train mlmf --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead. The dataset must
have human labels of each modality.
Sizes and rates are those of MMSA for SIMS. MMSA has no cap on epochs; 200 lie beyond where patience stops. Means are over
valid frames, and the LSTM ends at the last token. What weighs the products is trained.
Published by MMSA, mean of five seeds: MAE 0.409, Corr 0.639, Acc-2 79.34, Acc-3 68.36, Acc-5 41.05. These runs are older
than MMSA's commit that trains the heads: there they kept their random start (`--freeze _head/`).
"""

PRESET = {
    "extends": "mlmf_sims_mmsa",
    "protocol": "paper",
    "options": {
        "max_epochs": 200,
    },
}
