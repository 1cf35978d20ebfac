"""MISA on MOSI with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train misa --data MOSI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased --preset misa_mosi_mmsa

Audio and vision are read for as many frames as the text has tokens, which is the first half a second of unaligned sequences.
Windows of two mini-batches with summed gradients, the last incomplete window dropped; the validation loss is the mean of its
batches, rounded. MMSA clips the sum after each mini-batch of a window, which here is clipped once.
Published by MMSA, mean of five seeds: MAE 0.777, Corr 0.778, Acc-2 81.84/83.54, Acc-7 41.37; an independent implementation
gave MAE 0.774 (sd 0.013), Corr 0.777, Acc-2 non0 82.7, Acc-7 42.1 with ten seeds.
"""

PRESET = {
    "method": "misa",
    "protocol": "reference",
    "options": {
        "batch_size": 16,
        "max_epochs": 1000,
        "patience": 8,
        "min_delta": 1e-06,
        "validation_decimals": 4,
        "accumulate": 2,
        "accumulate_reduce": "sum",
        "tail": "drop",
        "clip_value": 0.8,
        "recurrent_start": "uniform",
        "dropout": 0.2,
        "weights.similarity": 0.3,
        "weights.difference": 0.1,
    },
}
