"""MMCL on MOSEI, unaligned features (500 audio and 500 vision frames), the values of the aligned experiment.

    msa-jax train mmcl --data MOSEI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased --preset mmcl_mosei_unaligned

Audio and vision are averaged to the length of the text before they meet it.
Published, mean of five seeds (Table 3): MAE 0.538, Corr 0.765, Acc-2 84.5/85.7, F1 84.6/85.6, Acc-7 53.4.
"""

PRESET = {"method": "mmcl"}
