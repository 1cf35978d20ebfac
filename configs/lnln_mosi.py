"""LNLN on MOSI, with the sizes, rates and weights of the authors' file for it.

    msa-jax train lnln --data MOSI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased

The authors train 200 epochs and stop at none. Their numbers are means over masks at ten rates of missing steps, each kind of
metric at an epoch of its own, which is best on test at rate 0.5: `msa-jax robustness RUN --protocol steps --out DIR` gives the
same mean (`mean`) of one epoch, which is best on the whole valid split.
"""

PRESET = {"method": "lnln"}
