"""Text only on CH-SIMS: the floor of every comparison there.

    msa-jax train text_only --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese

As many tokens as MMSA's file of the dataset has, so that no method reads more of a text than another.
"""

PRESET = {
    "method": "text_only",
    "options": {
        "max_tokens": 39,
    },
}
