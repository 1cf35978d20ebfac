"""TETFN on MOSI with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train tetfn --data MOSI/Processed/aligned_50.pkl --text-encoder bert-base-uncased --preset tetfn_mosi_mmsa

Padding is read as data, steps of the future are hidden, positions are added in the text enhanced Transformers alone, and vision
is convolved with the kernel of audio. Windows of four mini-batches with summed gradients, the last incomplete one dropped.
Published by MMSA, mean of five seeds: MAE 0.708, Corr 0.798, Acc-2 83.24/85.37, Acc-7 45.77; the paper: MAE 0.717, Corr 0.800;
an independent rerun of ten seeds: MAE 0.737 (sd 0.018), Corr 0.790.
"""

PRESET = {"method": "tetfn", "protocol": "reference"}
