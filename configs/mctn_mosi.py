"""MCTN on MOSI, with the sizes and rates of the authors' code and without its quirks.

    msa-jax train mctn --data MOSI/Processed/aligned_50.pkl --text-encoder bert-base-uncased

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead.
The score is read off the text alone. SUGRM prints MAE 0.909, Corr 0.676 (its Table 1), on GloVe vectors and features that MMSA's
file does not have. Nobody published a row on BERT's states.
A fine-tuned BERT on the text alone has an MAE of 0.819 in the independent rerun.
"""

PRESET = {"method": "mctn"}
