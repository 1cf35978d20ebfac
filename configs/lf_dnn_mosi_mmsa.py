"""LF-DNN on MOSI with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train lf_dnn --data MOSI/Processed/unaligned_50.pkl --text-encoder features --preset lf_dnn_mosi_mmsa

The time means and the LSTM read padding, the validation loss is the mean of its batches, rounded.
Published by MMSA, mean of five seeds: MAE 0.955, Corr 0.658, Acc-2 77.52/78.63, Acc-7 34.52.
"""

PRESET = {"method": "lf_dnn", "protocol": "reference"}
