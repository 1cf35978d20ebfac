"""MMIM on MOSEI: the sizes, rates and weights of its authors' code, q trained in the same pass as everything else.

    msa-jax train mmim --data MOSEI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased

All settings are defaults of the method.
Published: MAE 0.526, Corr 0.772, Acc-2 82.24/85.97, F1 82.66/85.94, Acc-7 54.24. The code saves the epoch that is best on
test among those that improve on valid, so these are no numbers to reach. MMCL's rerun, five seeds (how epochs
were selected is not said): MAE 0.544, Corr 0.756, Acc-2 82.2/85.1, Acc-7 53.2.
"""

PRESET = {"method": "mmim"}
