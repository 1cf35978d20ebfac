"""SPT on SIMS, with the sizes and rates of the authors' code.

    msa-jax train spt --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead.
The paper has no SIMS.
"""

PRESET = {
    "method": "spt",
    "options": {
        "max_tokens": 39,
    },
}
