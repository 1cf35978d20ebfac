"""Graph-MFN on MOSI, with MMSA's sizes and rates and without its quirks.

    msa-jax train graph_mfn --data MOSI/Processed/aligned_50.pkl --text-encoder bert-base-uncased

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead.
The networks of all vertices are trained, LSTMs and memory end at the last token.
Weight decay is coupled, as it was when MMSA chose its value.
MMSA has no cap on epochs; 200 lie beyond where patience stops.
Published by MMSA, mean of five seeds: MAE 0.956, Corr 0.649, Acc-2 77.14/78.35, Acc-7 34.64.
A fine-tuned BERT on the text alone has an MAE of 0.819 in the independent rerun.
"""

PRESET = {
    "method": "graph_mfn",
    "options": {
        "weight_decay.audio": 0.005,
        "weight_decay.vision": 0.005,
        "weight_decay.other": 0.005,
        "weight_decay_mode": "coupled",
        "max_epochs": 200,
    },
}
