"""MTFN on SIMS with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train mtfn --data SIMS/Processed/unaligned_39.pkl --text-encoder features --preset mtfn_sims_mmsa

The time means and the LSTM read padding, the multimodal score lies in ±3, the validation loss is the mean of its batches,
rounded.
Published by MMSA, mean of five seeds: MAE 0.395, Corr 0.666, Acc-2 81.09, Acc-3 68.80, Acc-5 40.31. These runs are older
than MMSA's commit that trains the heads: there they kept their random start (`--freeze _head/`).
"""

PRESET = {
    "method": "mtfn",
    "protocol": "reference",
    "options": {
        "max_tokens": 39,
        "weights.m": 0.6,
        "weights.t": 0.4,
        "weights.a": 0.0,
    },
}
