"""MISA on MOSEI with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train misa --data MOSEI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased --preset misa_mosei_mmsa

Audio and vision are read for as many frames as the text has tokens, which is the first half a second of unaligned sequences.
Windows of two mini-batches with summed gradients, the last incomplete window dropped; the validation loss is the mean of its
batches, rounded. MMSA clips the sum after each mini-batch of a window, which here is clipped once.
Published by MMSA, mean of five seeds: MAE 0.558, Corr 0.752, Acc-2 80.67/84.67, Acc-7 52.05.
"""

PRESET = {
    "extends": "misa_mosi_mmsa",
    "options": {
        "weights.similarity": 0.8,
        "batch_size": 64,
        "dropout": 0.5,
        "weights.difference": 0.3,
    },
}
