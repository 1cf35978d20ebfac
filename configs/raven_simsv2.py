"""RAVEN on SIMS v2, with the sizes and rates of the authors' code for MOSI and without its quirks. Approximate.

    msa-jax train raven --data SIMSv2/Processed/sims_unaligned.pkl --text-encoder bert-base-chinese --preset raven_simsv2

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead. Audio and
vision are averaged to the tokens of the text. Sizes and rates are those of the authors' code for MOSI; the paper has
no SIMS v2. The number of tokens of the file is not known here; set `max_tokens` to it. Nothing was tuned, and nothing
is published to compare with.
"""

PRESET = {"method": "raven"}
