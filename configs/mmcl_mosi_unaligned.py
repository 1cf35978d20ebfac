"""MMCL on MOSI, unaligned features (375 audio and 500 vision frames), the values of the aligned experiment.

    msa-jax train mmcl --data MOSI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased --preset mmcl_mosi_unaligned

Audio and vision are averaged to the length of the text before they meet it. On a CPU the Transformers over the frames take
most of the time; max_steps 100, say, averages the frames before them.
Published, mean of five seeds (Table 3): MAE 0.692, Corr 0.800, Acc-2 83.8/85.8, F1 83.7/85.7, Acc-7 46.8.
"""

PRESET = {"extends": "mmcl_mosi"}
