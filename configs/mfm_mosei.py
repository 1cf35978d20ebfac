"""MFM on MOSEI, with MMSA's sizes and rates and without its quirks.

    msa-jax train mfm --data MOSEI/Processed/aligned_50.pkl --text-encoder bert-base-uncased

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead.
LSTMs and memory end at the last token, and what lies beyond is not written again.
Weight decay is coupled, as it was when MMSA chose its value.
MMSA has no cap on epochs; 200 lie beyond where patience stops.
MMSA publishes no row. MMCL's run of it (its Table 1): MAE 0.580, Corr 0.722.
"""

PRESET = {
    "extends": "mfm_mosei_mmsa",
    "protocol": "paper",
    "options": {
        "weight_decay_mode": "coupled",
        "max_epochs": 200,
    },
}
