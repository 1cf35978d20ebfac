"""TFR-Net on SIMS with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train tfr_net --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese --preset tfr_net_sims_mmsa

Padding is read as data, steps of the future are hidden, a sample is rebuilt from the other samples of its mini-batch, and what
it loses is drawn once. One quirk has no option: MMSA moves the parameters after each mini-batch by a sum of gradients; here
each mini-batch has an update of its own. MMSA itself ends with an error on this file: its 25 heads over features divide neither
39 nor 55. Here there are 13 and 11. It would read the Chinese ids by bert-base-uncased, the default of its text encoder.
MMSA selects and tests on data of which 20 % of the steps are lost, too; here valid and test are whole. A score on such data is
that of `msa-jax robustness RUN --protocol steps --rates 0.2 --out DIR`. MMSA publishes no row.
"""

PRESET = {"extends": "tfr_net_sims", "protocol": "reference"}
