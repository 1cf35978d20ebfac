"""MFM on SIMS v2, with MMSA's sizes and rates for SIMS and without its quirks: it has none for SIMS v2.

    msa-jax train mfm --data SIMSv2/Processed/sims_unaligned.pkl --text-encoder bert-base-chinese --preset mfm_simsv2

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead. Audio and
vision are averaged to the tokens of the text. The number of tokens of the file is not known here; set `max_tokens` to
it. Nothing was tuned, and nothing is published to compare with.
"""

PRESET = {"extends": "mfm_sims", "options": {"max_tokens": 50}}
