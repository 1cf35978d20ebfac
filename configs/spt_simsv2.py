"""SPT on SIMS v2, with the sizes and rates of the authors' code.

    msa-jax train spt --data SIMSv2/Processed/sims_unaligned.pkl --text-encoder bert-base-chinese --preset spt_simsv2

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead. The paper has
no SIMS v2. The number of tokens of the file is not known here; set `max_tokens` to it. Nothing was tuned, and nothing
is published to compare with.
"""

PRESET = {"method": "spt"}
