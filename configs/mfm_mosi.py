"""MFM on MOSI, with MMSA's sizes and rates and without its quirks.

    msa-jax train mfm --data MOSI/Processed/aligned_50.pkl --text-encoder bert-base-uncased

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead.
LSTMs and memory end at the last token, and what lies beyond is not written again.
MMSA's 0.002 is a rate that its code never hands on: Adam runs at 0.001.
Weight decay is coupled, as it was when MMSA chose its value.
MMSA has no cap on epochs; 200 lie beyond where patience stops.
MMSA publishes no row. MMCL's run of it (its Table 1): MAE 0.948, Corr 0.664.
A fine-tuned BERT on the text alone has an MAE of 0.819 in the independent rerun.
"""

PRESET = {
    "method": "mfm",
    "options": {
        "weight_decay.audio": 0.001,
        "weight_decay.vision": 0.001,
        "weight_decay.other": 0.001,
        "weight_decay_mode": "coupled",
        "max_epochs": 200,
    },
}
