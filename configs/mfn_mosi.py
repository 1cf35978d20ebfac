"""MFN on MOSI, with MMSA's sizes and rates and without its quirks.

    msa-jax train mfn --data MOSI/Processed/aligned_50.pkl --text-encoder bert-base-uncased

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead.
Audio and vision are sequences, LSTMs and memory end at the last token.
MMSA has no cap on epochs; 200 lie beyond where patience stops.
Published by MMSA, mean of five seeds: MAE 0.927, Corr 0.670, Acc-2 77.67/78.87, Acc-7 35.83. MMCL's rerun of it (its Table 1):
MAE 0.951, Corr 0.665.
A fine-tuned BERT on the text alone has an MAE of 0.819 in the independent rerun.
"""

PRESET = {
    "method": "mfn",
    "options": {
        "max_epochs": 200,
    },
}
