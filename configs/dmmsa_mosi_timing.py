"""DMMSA on MOSI with the times of the words as audio, no vision, and a MiniLM text encoder.

    msa-jax train dmmsa --data mosi --text-encoder MINILM --preset dmmsa_mosi_timing

Vision is absent, and so are its parts and its stage. The times are in seconds, so they are standardised with the
statistics of the training split. The stages are shorter than the paper's, with early stops, so that they finish on two
CPU cores. Nothing was tuned.
"""

PRESET = {"extends": "confede_mosi_timing", "method": "dmmsa"}
