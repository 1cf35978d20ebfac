"""Graph-MFN on MOSI with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train graph_mfn --data MOSI/Processed/aligned_50.pkl --text-encoder features --preset graph_mfn_mosi_mmsa

The networks of the vertices stay as they were drawn, LSTMs and memory walk padding, the validation loss is the mean of its
batches, rounded.
Published by MMSA, mean of five seeds: MAE 0.956, Corr 0.649, Acc-2 77.14/78.35, Acc-7 34.64.
"""

PRESET = {"method": "graph_mfn", "protocol": "reference"}
