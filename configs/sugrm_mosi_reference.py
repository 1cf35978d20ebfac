"""SUGRM on MOSI with the hyper-parameters and the quirks of the SUGRM repository.

    msa-jax train sugrm --data MOSI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased --preset sugrm_mosi_reference

Coupled weight decay, windows of four mini-batches with summed gradients, the last incomplete window dropped; padding is
read as frames, input windows are not shifted, attention weights are not dropped.

Published (Table 2): MAE 0.703, Corr 0.800, Acc-2 84.4/86.3, F1 84.3/86.3. Over how many runs, and whether the settings
of the repository are those behind the table, is not stated.
"""

PRESET = {
    "method": "sugrm",
    "protocol": "reference",
    "options": {
        "zero_is_positive": True,
        "weight_decay.text": 0.001,
        "weight_decay.encoder": 0.001,
        "weight_decay.other": 0.001,
        "spt.attention_dropout": 0.0,
    },
}
