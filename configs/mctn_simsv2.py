"""MCTN on SIMS v2, with the sizes and rates of the authors' code for MOSI and without its quirks.

    msa-jax train mctn --data SIMSv2/Processed/sims_unaligned.pkl --text-encoder bert-base-chinese --preset mctn_simsv2

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead. Audio and
vision are averaged to the tokens of the text. Sizes and rates are those of the authors' code for MOSI; the paper has
no SIMS v2. The score is read off the text alone. The number of tokens of the file is not known here; set `max_tokens`
to it. Nothing was tuned, and nothing is published to compare with.
"""

PRESET = {"method": "mctn"}
