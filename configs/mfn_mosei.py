"""MFN on MOSEI, with MMSA's sizes and rates and without its quirks.

    msa-jax train mfn --data MOSEI/Processed/aligned_50.pkl --text-encoder bert-base-uncased

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead.
Audio and vision are sequences, LSTMs and memory end at the last token.
Weight decay is coupled, as it was when MMSA chose its value.
MMSA has no cap on epochs; 200 lie beyond where patience stops.
Published by MMSA, mean of five seeds: MAE 0.573, Corr 0.718, Acc-2 78.94/82.86. MMCL's rerun of it (its Table 1): MAE
0.575, Corr 0.720.
"""

PRESET = {
    "extends": "mfn_mosei_mmsa",
    "protocol": "paper",
    "options": {
        "weight_decay_mode": "coupled",
        "max_epochs": 200,
    },
}
