"""MFM on MOSI with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train mfm --data MOSI/Processed/aligned_50.pkl --text-encoder features --preset mfm_mosi_mmsa

LSTMs and memory walk padding, which is written again too; the validation loss is the mean of its batches, rounded.
MMSA's 0.002 is a rate that its code never hands on: Adam runs at 0.001.
MMSA publishes no row. MMCL's run of it (its Table 1): MAE 0.948, Corr 0.664.
"""

PRESET = {"method": "mfm", "protocol": "reference"}
