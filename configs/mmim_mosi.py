"""MMIM on MOSI: the sizes, rates and weights of its authors' code, q trained in the same pass as everything else.

    msa-jax train mmim --data MOSI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased

All settings are defaults of the method. Adam, 5e-5 for BERT and 1e-3 for the rest; 40 epochs at most.
Published: MAE 0.700, Corr 0.800, Acc-2 84.14/86.06, F1 84.00/85.98, Acc-7 46.65. The code saves the epoch that is best on
test among those that improve on valid, so these are no numbers to reach. Reruns: MMCL's, five seeds (how
epochs were selected is not said), MAE 0.726, Corr 0.786, Acc-2 82.6/85.0, Acc-7 45.5; an independent one, ten seeds selected
on valid, MAE 0.750 (sd 0.015), Corr 0.774, Acc-2 non0
83.9, Acc-7 44.8.
"""

PRESET = {"method": "mmim"}
