"""SUGRM on MOSI, as the paper states it (Table 7): Adam, batches of 32, 5e-5 for BERT, 1e-2 for the rest.

    msa-jax train sugrm --data MOSI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased

Table 7 has embed size 32, 4 encoder layers, 8 heads and every dropout rate 0.3; that of the attention weights is left
to the method's default, which is the same, so that --protocol reference turns it off. What the paper does not state: a
learning rate for the Sparse Phased Transformer, which has one of its own in the authors' code, 5e-4, and here; the width
of the common space, 32 in their code; windows and strides, those of the paper of that Transformer; weight decay, epochs,
patience, the number of runs.

Published (Table 2, unaligned): MAE 0.703, Corr 0.800, Acc-2 84.4/86.3, F1 84.3/86.3.
On aligned_50.pkl (Table 1): MAE 0.723, Corr 0.798, Acc-2 82.8/84.5, F1 82.8/84.5.
"""

PRESET = {"method": "sugrm"}
