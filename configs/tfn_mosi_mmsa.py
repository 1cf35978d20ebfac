"""TFN on MOSI with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train tfn --data MOSI/Processed/unaligned_50.pkl --text-encoder features --preset tfn_mosi_mmsa

The time means and the LSTM read padding, scores lie in ±3, the validation loss is the mean of its batches, rounded.
Published by MMSA, mean of five seeds: MAE 0.947, Corr 0.673, Acc-2 77.99/79.08, Acc-7 34.46; an independent rerun of ten
seeds gave MAE 0.973 (sd 0.047), Corr 0.651, Acc-7 34.7. MMCL's rerun of it (its Table 1): MAE 0.925, Corr 0.662.
"""

PRESET = {"method": "tfn", "protocol": "reference"}
