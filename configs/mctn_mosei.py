"""MCTN on MOSEI, with the sizes and rates of the authors' code and without its quirks.

    msa-jax train mctn --data MOSEI/Processed/aligned_50.pkl --text-encoder bert-base-uncased

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead.
Sizes and rates are those for MOSI; the code has no others.
The score is read off the text alone. SUGRM prints MAE 0.609, Corr 0.670 (its Table 1), on GloVe vectors and features that MMSA's
file does not have. Nobody published a row on BERT's states.
"""

PRESET = {"method": "mctn"}
