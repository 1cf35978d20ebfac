"""TETFN on MOSI, with MMSA's sizes and rates and without its quirks.

    msa-jax train tetfn --data MOSI/Processed/aligned_50.pkl --text-encoder bert-base-uncased

No weight decay and no windows of mini-batches, as in the default of Self-MM.
Published by MMSA, mean of five seeds: MAE 0.708, Corr 0.798, Acc-2 83.24/85.37, Acc-7 45.77; the paper: MAE 0.717, Corr 0.800;
an independent rerun of ten seeds: MAE 0.737 (sd 0.018), Corr 0.790.
"""

PRESET = {
    "method": "tetfn",
    "options": {
        "kernels.vision": 3,
    },
}
