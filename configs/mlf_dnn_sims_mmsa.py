"""MLF-DNN on SIMS with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train mlf_dnn --data SIMS/Processed/unaligned_39.pkl --text-encoder features --preset mlf_dnn_sims_mmsa

The time means and the LSTM read padding, the validation loss is the mean of its batches, rounded.
Published by MMSA, mean of five seeds: MAE 0.396, Corr 0.665, Acc-2 80.44, Acc-3 69.37, Acc-5 40.22. These runs are older
than MMSA's commit that trains the heads: there they kept their random start (`--freeze _head/`).
"""

PRESET = {
    "method": "mlf_dnn",
    "protocol": "reference",
    "options": {
        "max_tokens": 39,
        "weights.m": 0.6,
        "weights.t": 0.2,
        "weights.a": 0.8,
        "weights.v": 0.8,
    },
}
