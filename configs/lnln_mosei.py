"""LNLN on MOSEI, with the sizes, rates and weights of the authors' file for it.

    msa-jax train lnln --data MOSEI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased

As on MOSI, but the last Transformer has four layers.
"""

PRESET = {"extends": "lnln_mosi", "options": {"fusion_layers": 4}}
