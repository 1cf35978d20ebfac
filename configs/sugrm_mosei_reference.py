"""SUGRM on MOSEI with the hyper-parameters and the quirks of the SUGRM repository.

    msa-jax train sugrm --data MOSEI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased --preset sugrm_mosei_reference

Coupled weight decay, windows of four mini-batches with summed gradients, the last incomplete window dropped; padding is
read as frames, input windows are not shifted, attention weights are not dropped.

Published (Table 2): MAE 0.544, Corr 0.748, Acc-2 83.7/84.4, F1 83.6/84.0. Over how many runs, and whether the settings
of the repository are those behind the table, is not stated.
"""

PRESET = {
    "extends": "sugrm_mosi_reference",
    "options": {
        "learning_rate.other": 0.001,
        "weight_decay.other": 0.01,
        "dropout": 0.1,
        "spt.heads": 4,
        "spt.relu_dropout": 0.1,
        "spt.residual_dropout": 0.1,
        "spt.embed_dropout": 0.2,
    },
}
