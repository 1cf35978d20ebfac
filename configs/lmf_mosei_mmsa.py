"""LMF on MOSEI with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train lmf --data MOSEI/Processed/unaligned_50.pkl --text-encoder features --preset lmf_mosei_mmsa

The time means and the LSTM read padding, the weights of the products are not trained, the validation loss is the mean of
its batches, rounded.
Published by MMSA, mean of five seeds: MAE 0.576, Corr 0.717, Acc-2 80.54/83.48. MMCL's rerun of it (its Table 1): MAE
0.568, Corr 0.727.
"""

PRESET = {
    "method": "lmf",
    "protocol": "reference",
    "options": {
        "batch_size": 32,
        "rank": 4,
        "dropout.audio": 0.2,
        "dropout.vision": 0.2,
        "weight_decay.audio": 0.001,
        "weight_decay.vision": 0.001,
        "weight_decay.other": 0.001,
    },
}
