"""MMCL on SIMS, with the values of the paper for MOSEI.

    msa-jax train mmcl --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese

The paper has no experiment on SIMS. Its features are unaligned: audio and vision are averaged to the length of the text.
"""

PRESET = {
    "method": "mmcl",
    "options": {
        "max_tokens": 39,
    },
}
