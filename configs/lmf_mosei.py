"""LMF on MOSEI, with MMSA's sizes and rates and without its quirks.

    msa-jax train lmf --data MOSEI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead.
The paper used GloVe vectors and other features, so its own sizes mean little here: MMSA's for MOSEI stand here. MMSA has no
cap on epochs; 200 lie beyond where patience stops. Means are over valid frames, and the LSTM ends at the last token. What
weighs the products is trained.
Published by MMSA, mean of five seeds: MAE 0.576, Corr 0.717, Acc-2 80.54/83.48. MMCL's rerun of it (its Table 1): MAE
0.568, Corr 0.727.
Every network on frozen BERT states lies above the MAE of a fine-tuned BERT on the text alone.
"""

PRESET = {
    "method": "lmf",
    "protocol": "paper",
    "options": {
        "batch_size": 32,
        "text_hidden": 128,
        "text_size": 64,
        "audio_size": 16,
        "vision_size": 128,
        "rank": 4,
        "dropout.audio": 0.2,
        "dropout.vision": 0.2,
        "learning_rate.audio": 0.001,
        "learning_rate.vision": 0.001,
        "learning_rate.other": 0.001,
        "learning_rate.factor": 0.001,
        "weight_decay.audio": 0.001,
        "weight_decay.vision": 0.001,
        "weight_decay.other": 0.001,
        "max_epochs": 200,
    },
}
