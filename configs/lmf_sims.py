"""LMF on SIMS, with MMSA's sizes and rates and without its quirks.

    msa-jax train lmf --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead.
The paper used GloVe vectors and other features, so its own sizes mean little here: MMSA's for SIMS stand here. MMSA has no
cap on epochs; 200 lie beyond where patience stops. Means are over valid frames, and the LSTM ends at the last token. What
weighs the products is trained.
Published by MMSA, mean of five seeds: MAE 0.441, Corr 0.576, Acc-2 77.77, Acc-3 64.68, Acc-5 40.53. Self-MM's rerun of it
(its Table 3): MAE 0.431, Corr 0.600, Acc-2 79.37.
Every network on frozen BERT states lies above the MAE of a fine-tuned BERT on the text alone.
"""

PRESET = {
    "method": "lmf",
    "protocol": "paper",
    "options": {
        "max_tokens": 39,
        "batch_size": 64,
        "text_hidden": 64,
        "text_size": 32,
        "audio_size": 16,
        "vision_size": 64,
        "rank": 4,
        "dropout.audio": 0.2,
        "dropout.vision": 0.2,
        "learning_rate.audio": 0.002,
        "learning_rate.vision": 0.002,
        "learning_rate.other": 0.002,
        "learning_rate.factor": 0.0005,
        "weight_decay.audio": 0.005,
        "weight_decay.vision": 0.005,
        "weight_decay.other": 0.005,
        "max_epochs": 200,
    },
}
