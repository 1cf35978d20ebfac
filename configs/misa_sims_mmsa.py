"""MISA on SIMS with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train misa --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese --preset misa_sims_mmsa

Audio and vision are read for as many frames as the text has tokens, which is a small part of unaligned sequences.
Windows of two mini-batches with summed gradients, the last incomplete window dropped; the validation loss is the mean of its
batches, rounded. MMSA clips the sum after each mini-batch of a window, which here is clipped once.
MMSA publishes no row of MISA on SIMS.
"""

PRESET = {
    "extends": "misa_sims",
    "protocol": "reference",
    "options": {
        "max_epochs": 1000,
        "patience": 8,
        "min_delta": 1e-06,
        "validation_decimals": 4,
        "accumulate": 2,
        "accumulate_reduce": "sum",
        "tail": "drop",
        "recurrent_start": "uniform",
    },
}
