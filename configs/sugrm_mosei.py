"""SUGRM on MOSEI, as the paper states it (Table 7): Adam, batches of 32, 5e-5 for BERT, 1e-3 for the rest.

    msa-jax train sugrm --data MOSEI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased

Table 7 has embed size 32, 4 encoder layers, 4 heads and dropout 0.1, 0.2 of what goes in. What the paper does not state:
a learning rate for the Sparse Phased Transformer, which has one of its own in the authors' code, 5e-4, and here; the
width of the common space, 32 in their code; windows and strides, those of the paper of that Transformer; weight decay,
epochs, patience, the number of runs. For the authors' code take --preset sugrm_mosei_reference: it drops no attention
weights.

Published (Table 2, unaligned): MAE 0.544, Corr 0.748, Acc-2 83.7/84.4, F1 83.6/84.0.
On aligned_50.pkl (Table 1): MAE 0.541, Corr 0.758, Acc-2 83.9/85.0, F1 83.9/85.1.
"""

PRESET = {
    "method": "sugrm",
    "options": {
        "learning_rate.other": 0.001,
        "dropout": 0.1,
        "spt.heads": 4,
        "spt.attention_dropout": 0.1,
        "spt.relu_dropout": 0.1,
        "spt.residual_dropout": 0.1,
        "spt.embed_dropout": 0.2,
    },
}
