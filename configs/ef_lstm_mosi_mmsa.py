"""EF-LSTM on MOSI with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train ef_lstm --data MOSI/Processed/aligned_50.pkl --text-encoder features --preset ef_lstm_mosi_mmsa

Every time step is normalised, the LSTMs read padding, the validation loss is the mean of its batches, rounded.
Published by MMSA, mean of five seeds: MAE 0.949, Corr 0.669, Acc-2 77.38/78.48, Acc-7 35.39. In an independent rerun
of its code it collapsed.
"""

PRESET = {"method": "ef_lstm", "protocol": "reference"}
