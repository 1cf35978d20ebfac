"""MTFN on SIMS, with MMSA's sizes and rates and without its quirks.

    msa-jax train mtfn --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead. The dataset must
have human labels of each modality.
Sizes and rates are those of MMSA for SIMS. MMSA has no cap on epochs; 200 lie beyond where patience stops. Means are over
valid frames, the LSTM ends at the last token, and the multimodal score lies in the label range.
Published by MMSA, mean of five seeds: MAE 0.395, Corr 0.666, Acc-2 81.09, Acc-3 68.80, Acc-5 40.31. These runs are older
than MMSA's commit that trains the heads: there they kept their random start (`--freeze _head/`).
"""

PRESET = {
    "extends": "mtfn_sims_mmsa",
    "protocol": "paper",
    "options": {
        "max_epochs": 200,
    },
}
