"""LMF on SIMS with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train lmf --data SIMS/Processed/unaligned_39.pkl --text-encoder features --preset lmf_sims_mmsa

The time means and the LSTM read padding, the weights of the products are not trained, the validation loss is the mean of
its batches, rounded.
Published by MMSA, mean of five seeds: MAE 0.441, Corr 0.576, Acc-2 77.77, Acc-3 64.68, Acc-5 40.53. Self-MM's rerun of it
(its Table 3): MAE 0.431, Corr 0.600, Acc-2 79.37.
"""

PRESET = {
    "method": "lmf",
    "protocol": "reference",
    "options": {
        "max_tokens": 39,
        "text_hidden": 64,
        "text_size": 32,
        "vision_size": 64,
        "rank": 4,
        "dropout.audio": 0.2,
        "dropout.vision": 0.2,
        "learning_rate.audio": 0.002,
        "learning_rate.vision": 0.002,
        "learning_rate.other": 0.002,
        "learning_rate.factor": 0.0005,
    },
}
