"""SPT on MOSEI, with the sizes and rates of the authors' code.

    msa-jax train spt --data MOSEI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead.
With GloVe vectors and features of its own the paper reports (SUGRM's Tables 1 and 2, positive against negative):
aligned F1/Acc-2 82.8/82.6, unaligned 82.7/82.4.
"""

PRESET = {"method": "spt"}
