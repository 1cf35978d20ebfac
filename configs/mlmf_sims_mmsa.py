"""MLMF on SIMS with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train mlmf --data SIMS/Processed/unaligned_39.pkl --text-encoder features --preset mlmf_sims_mmsa

The time means and the LSTM read padding, the weights of the products are not trained, the validation loss is the mean of
its batches, rounded.
Published by MMSA, mean of five seeds: MAE 0.409, Corr 0.639, Acc-2 79.34, Acc-3 68.36, Acc-5 41.05. These runs are older
than MMSA's commit that trains the heads: there they kept their random start (`--freeze _head/`).
"""

PRESET = {
    "method": "mlmf",
    "protocol": "reference",
    "options": {
        "max_tokens": 39,
        "weights.m": 0.2,
        "weights.a": 0.4,
        "weights.v": 0.8,
    },
}
