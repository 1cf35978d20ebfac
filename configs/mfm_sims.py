"""MFM on SIMS, with MMSA's sizes and rates and without its quirks.

    msa-jax train mfm --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead.
LSTMs and memory end at the last token, and what lies beyond is not written again.
MMSA's 0.002 is a rate that its code never hands on: Adam runs at 0.001.
Audio and vision are averaged to the tokens of the text.
Weight decay is coupled, as it was when MMSA chose its value.
MMSA has no cap on epochs; 200 lie beyond where patience stops.
MMSA publishes no row.
"""

PRESET = {
    "extends": "mfm_sims_mmsa",
    "protocol": "paper",
    "options": {
        "weight_decay_mode": "coupled",
        "max_epochs": 200,
    },
}
