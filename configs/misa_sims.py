"""MISA on SIMS, unaligned features.

    msa-jax train misa --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese

The paper has no SIMS: dropout and weights are MMSA's, without its quirks. The LSTMs over 709 vision features have 21 million
parameters. MMSA publishes no row of MISA on SIMS.
"""

PRESET = {
    "method": "misa",
    "options": {
        "max_tokens": 39,
        "dropout": 0.0,
        "weights.reconstruction": 0.8,
    },
}
