"""MulT on MOSI, with the sizes and rates of the paper's appendix.

    msa-jax train mult --data MOSI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead. The paper used
GloVe vectors and reports MAE 0.871, Corr 0.698 aligned and 0.889, 0.686 unaligned.
Published by MMSA, mean of five seeds: MAE 0.880, Corr 0.702, Acc-2 79.71/80.98, Acc-7 36.91; an independent rerun of ten
seeds gave MAE 0.900 (sd 0.023), Corr 0.694, Acc-7 36.4. MMCL's rerun of it (its Table 1, aligned): MAE 0.918, Corr 0.685.
A fine-tuned BERT on the text alone has an MAE of 0.819 in the independent rerun.
"""

PRESET = {"method": "mult"}
