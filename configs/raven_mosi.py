"""RAVEN on MOSI, with the sizes and rates of the authors' code and without its quirks. Approximate.

    msa-jax train raven --data MOSI/Processed/aligned_50.pkl --text-encoder bert-base-uncased

BERT is frozen and runs once. `--text-encoder features` reads the file's own states of that BERT instead.
The file has one audio and one vision vector for each word piece; the paper reads all frames within a word. The shift is
trained; `--detach-shift true` leaves it as it was drawn, as the authors' program does, and `--beta 0` leaves it out.
Self-MM and SUGRM print MAE 0.915, Corr 0.691, on GloVe vectors. Nobody published a row on BERT's states.
A fine-tuned BERT on the text alone has an MAE of 0.819 in the independent rerun.
"""

PRESET = {"method": "raven"}
