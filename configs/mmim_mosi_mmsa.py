"""MMIM on MOSI with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train mmim --data MOSI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased --preset mmim_mosi_mmsa

The authors' code, but LSTMs that read both ways, no cap on epochs, and a validation loss that is the mean of
its batches, rounded. MMSA publishes no number of it.
"""

PRESET = {
    "method": "mmim",
    "protocol": "reference",
    "options": {
        "bidirectional": True,
        "max_epochs": 1000,
        "patience": 8,
        "validation_mean": "batches",
        "validation_decimals": 4,
    },
}
