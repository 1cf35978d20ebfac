"""MFN on MOSI with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train mfn --data MOSI/Processed/aligned_50.pkl --text-encoder features --preset mfn_mosi_mmsa

Audio and vision are their time means at every step, LSTMs and memory walk padding, the validation loss is the mean of its
batches, rounded.
Published by MMSA, mean of five seeds: MAE 0.927, Corr 0.670, Acc-2 77.67/78.87, Acc-7 35.83. MMCL's rerun of it (its Table 1):
MAE 0.951, Corr 0.665.
"""

PRESET = {"method": "mfn", "protocol": "reference"}
