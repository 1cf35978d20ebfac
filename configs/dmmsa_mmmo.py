"""DMMSA on ICT-MMMO, audio and vision sequences without text.

    msa-jax train dmmsa --data mmmo --seeds 1111 1112 1113

Without text, the similar part of vision is the anchor of the contrast. 220 training samples and features with outliers:
standardised with the statistics of the training split and clipped; encoders of width 128 instead of 768. The stages are
shorter than the paper's, with early stops, so that they finish on two CPU cores. Nothing was tuned.
"""

PRESET = {"extends": "confede_mmmo", "method": "dmmsa"}
