"""SUGRM on SIMS, with the values of the paper for MOSI.

    msa-jax train sugrm --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese

Neither the paper nor its code has an experiment on SIMS: there is no published setting and no expected number. MOSI's
values stand here because the two training splits are of one size (1368 and 1284 rows); nothing was tuned. The paper's
label range, -3 to +3, is the dataset's own: -1 to +1. `msa-jax train sugrm ... --unimodal-labels human` trains on the
unimodal labels of SIMS instead of generated ones.
"""

PRESET = {
    "method": "sugrm",
    "options": {
        "max_tokens": 39,
    },
}
