"""MMIM on MOSEI with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train mmim --data MOSEI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased --preset mmim_mosei_mmsa

MMSA's values for MOSI, and q is trained over half of the batches alone. `--protocol reference` takes the authors' code,
`mmim_mosei_reference`; this preset is taken by its name. MMSA publishes no number of it.
"""

PRESET = {"extends": "mmim_mosi_mmsa", "options": {"bound_share": 0.5}}
