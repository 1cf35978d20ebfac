"""MMIM on CH-SIMS: MMSA's network, whose LSTMs read both ways, with q trained in the same pass as everything else.

    msa-jax train mmim --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese

Its authors had no Chinese data; MMSA takes the settings of MOSI, and publishes no number.
"""

PRESET = {
    "method": "mmim",
    "options": {
        "bidirectional": True,
        "max_tokens": 39,
    },
}
