"""Graph-MFN on SIMS, with MMSA's sizes and rates and without its quirks.

    msa-jax train graph_mfn --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead.
The networks of all vertices are trained, LSTMs and memory end at the last token.
Audio and vision are averaged to the tokens of the text.
Weight decay is coupled, as it was when MMSA chose its value.
MMSA has no cap on epochs; 200 lie beyond where patience stops.
Published by MMSA, mean of five seeds: MAE 0.445, Corr 0.578, Acc-2 78.77, Acc-3 65.65, Acc-5 39.82.
"""

PRESET = {
    "extends": "graph_mfn_sims_mmsa",
    "protocol": "paper",
    "options": {
        "weight_decay_mode": "coupled",
        "max_epochs": 200,
    },
}
