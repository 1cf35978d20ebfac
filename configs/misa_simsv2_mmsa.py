"""MISA on SIMS v2 with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train misa --data SIMSv2/Processed/sims_unaligned.pkl --text-encoder bert-base-chinese --preset misa_simsv2_mmsa

Audio and vision are read for as many frames as the text has tokens, which is a small part of unaligned sequences.
Windows of two mini-batches with summed gradients, the last incomplete window dropped; the validation loss is the mean of its
batches, rounded. MMSA clips the sum after each mini-batch of a window, which here is clipped once.
Its number of tokens is not known here; set `max_tokens` to that of the file.
"""

PRESET = {
    "extends": "misa_mosi_mmsa",
    "options": {
        "hidden": 64,
        "weights.difference": 0.5,
        "weights.reconstruction": 0.5,
        "dropout": 0.5,
        "weights.similarity": 1.0,
    },
}
