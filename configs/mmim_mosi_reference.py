"""MMIM on MOSI with the quirks of its authors' code: in every epoch first q, over all batches, then everything else.

    msa-jax train mmim --data MOSI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased --preset mmim_mosi_reference

A likelihood without its normaliser, entropy of a random projection, coupled weight decay on everything.
Published: MAE 0.700, Corr 0.800, Acc-2 84.14/86.06, F1 84.00/85.98, Acc-7 46.65. That is the epoch that is best on test among
those that improve on valid; this preset selects on valid. An independent rerun that does so, ten seeds: MAE 0.750 (sd
0.015), Corr 0.774, Acc-2 non0 83.9, Acc-7 44.8.
"""

PRESET = {"method": "mmim", "protocol": "reference"}
