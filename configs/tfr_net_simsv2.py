"""TFR-Net on SIMS v2, with the sizes, rates and weights of the authors' repository for SIMS: it has none for SIMS v2.

    msa-jax train tfr_net --data SIMSv2/Processed/sims_unaligned.pkl --text-encoder bert-base-chinese --preset tfr_net_simsv2

The number of tokens of the file is not known here; set `max_tokens` to it. Nothing was tuned, and nothing is published
to compare with.
"""

PRESET = {"extends": "tfr_net_sims", "options": {"max_tokens": 50}}
