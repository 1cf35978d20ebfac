"""LNLN on SIMS v2, with the sizes, rates and weights of the authors' file for SIMS: they have none for SIMS v2.

    msa-jax train lnln --data SIMSv2/Processed/sims_unaligned.pkl --text-encoder bert-base-chinese --preset lnln_simsv2

The number of tokens of the file is not known here; set `max_tokens` to it. Nothing was tuned, and nothing is published
to compare with.
"""

PRESET = {"extends": "lnln_sims", "options": {"max_tokens": 50}}
