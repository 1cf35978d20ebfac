"""Graph-MFN on MOSEI, with MMSA's sizes and rates and without its quirks.

    msa-jax train graph_mfn --data MOSEI/Processed/aligned_50.pkl --text-encoder bert-base-uncased

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead.
The networks of all vertices are trained, LSTMs and memory end at the last token.
Weight decay is coupled, as it was when MMSA chose its value.
MMSA has no cap on epochs; 200 lie beyond where patience stops.
Published by MMSA, mean of five seeds: MAE 0.575, Corr 0.713, Acc-2 81.28/83.48.
"""

PRESET = {
    "extends": "graph_mfn_mosei_mmsa",
    "protocol": "paper",
    "options": {
        "weight_decay_mode": "coupled",
        "max_epochs": 200,
    },
}
