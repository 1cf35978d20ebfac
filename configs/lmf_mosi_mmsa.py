"""LMF on MOSI with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train lmf --data MOSI/Processed/unaligned_50.pkl --text-encoder features --preset lmf_mosi_mmsa

The time means and the LSTM read padding, the weights of the products are not trained, the validation loss is the mean of
its batches, rounded.
Published by MMSA, mean of five seeds: MAE 0.950, Corr 0.651, Acc-2 77.90/79.18, Acc-7 33.82; an independent rerun of ten
seeds gave MAE 0.958, Corr 0.656, Acc-7 34.5. MMCL's rerun of it (its Table 1): MAE 0.931, Corr 0.670.
"""

PRESET = {"method": "lmf", "protocol": "reference"}
