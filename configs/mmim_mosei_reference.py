"""MMIM on MOSEI with the quirks of its authors' code: in every epoch first q, over half of the batches, then everything else.

    msa-jax train mmim --data MOSEI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased --preset mmim_mosei_reference

A likelihood without its normaliser, entropy of a random projection, coupled weight decay on everything.
Published: MAE 0.526, Corr 0.772, Acc-2 82.24/85.97, F1 82.66/85.94, Acc-7 54.24. That is the epoch that is best on test among
those that improve on valid; this preset selects on valid.
"""

PRESET = {
    "method": "mmim",
    "protocol": "reference",
    "options": {
        "bound_share": 0.5,
    },
}
