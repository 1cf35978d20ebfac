"""Self-MM on SIMS with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train self_mm --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese --preset self_mm_sims_mmsa

Coupled weight decay, windows of four mini-batches with summed gradients, the last incomplete window dropped.
Published by MMSA, five seeds: Acc-2 80.04, Acc-3 65.47, Acc-5 41.53, F1 80.44, MAE 0.425, Corr 0.595.
"""

PRESET = {
    "extends": "self_mm_sims_reference",
    "options": {
        "zero_is_positive": False,
        "validation_decimals": 4,
    },
}
