"""TFR-Net on MOSI with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train tfr_net --data MOSI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased --preset tfr_net_mosi_mmsa

Padding is read as data, steps of the future are hidden, a sample is rebuilt from the other samples of its mini-batch, and what
it loses is drawn once. The rates are lower than those of the authors' repository. One quirk has no option: MMSA moves the
parameters after each mini-batch by a sum of gradients; here each mini-batch has an update of its own.
MMSA selects and tests on data of which 20 % of the steps are lost, too; here valid and test are whole. A score on such data is
that of `msa-jax robustness RUN --protocol steps --rates 0.2 --out DIR`. MMSA publishes no row.
"""

PRESET = {
    "extends": "tfr_net_mosi",
    "protocol": "reference",
    "options": {
        "learning_rate.text": 2e-06,
        "learning_rate.audio": 0.001,
        "learning_rate.vision": 0.001,
        "learning_rate.other": 0.001,
    },
}
