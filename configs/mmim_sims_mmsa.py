"""MMIM on CH-SIMS with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train mmim --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese --preset mmim_sims_mmsa

MMSA's values for MOSI. MMSA publishes no number of it.
"""

PRESET = {"extends": "mmim_mosi_mmsa", "options": {"max_tokens": 39}}
