"""RAVEN on SIMS, with the sizes and rates of the authors' code for MOSI and without its quirks. Approximate.

    msa-jax train raven --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead. Audio and
vision are averaged to the tokens of the text. Sizes and rates are those of the authors' code for MOSI; the paper has
no SIMS. Nothing was tuned, and nothing is published to compare with.
"""

PRESET = {"method": "raven", "options": {"max_tokens": 39}}
