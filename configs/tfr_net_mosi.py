"""TFR-Net on MOSI, with the sizes, rates and weights of the authors' repository.

    msa-jax train tfr_net --data MOSI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased --missing-rate 0.2

The authors train a model for each rate of missing steps and score it at the same rate: `msa-jax robustness RUN --protocol steps
--rates 0.2 --out DIR`. Their numbers are areas under the curve over the rates. MMSA's learning rates are in `tfr_net_mosi_mmsa`.
"""

PRESET = {"method": "tfr_net"}
