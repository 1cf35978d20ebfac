"""MulT on MOSEI, with the sizes and rates of the paper's appendix.

    msa-jax train mult --data MOSEI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead. The paper used
GloVe vectors and reports MAE 0.580, Corr 0.703 aligned and 0.591, 0.694 unaligned.
Published by MMSA, mean of five seeds: MAE 0.559, Corr 0.733, Acc-2 81.15/84.63. MMCL's rerun of it (its Table 1, aligned): MAE
0.564, Corr 0.732.
"""

PRESET = {
    "method": "mult",
    "options": {
        "batch_size": 16,
        "max_epochs": 20,
        "patience": 20,
        "heads": 8,
        "attention_dropout.text": 0.1,
        "attention_dropout.audio": 0.1,
        "attention_dropout.vision": 0.1,
        "input_dropout": 0.3,
        "text_dropout": 0.3,
        "clip_norm": 1.0,
    },
}
