"""DMMSA on the built-in synthetic dataset, with a small text encoder that is trained from nothing.

    msa-jax train dmmsa --data synthetic

Small encoders and heads, and no epochs with a frozen text encoder, which would have learned nothing yet. It is frozen
in the fusion as BERT is. The stages are shorter than the paper's, with early stops, so that they finish on two CPU
cores. Nothing was tuned.
"""

PRESET = {"extends": "confede_synthetic", "method": "dmmsa"}
