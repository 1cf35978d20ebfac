"""TFR-Net on MOSEI, with the sizes, rates and weights of MMSA: the authors' repository has no values for it.

    msa-jax train tfr_net --data MOSEI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased

As on MOSI, but reconstruction weighs a millionth.
"""

PRESET = {
    "extends": "tfr_net_mosi",
    "options": {
        "weights.text": 5e-6,
        "weights.audio": 2e-6,
        "weights.vision": 2e-5,
    },
}
