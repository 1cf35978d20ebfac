"""LNLN on SIMS, with the sizes, rates and weights of the authors' file for it.

    msa-jax train lnln --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese

As on MOSEI, but the discriminator weighs 0.6. A reader's rerun, printed in the authors' README, as means over masks at ten
rates: MAE 0.515, Corr 0.387, Acc-2 73.15, Acc-3 57.32, Acc-5 34.68, F1 69.18. The paper's own F1 on SIMS is too high, says that
README.
"""

PRESET = {"extends": "lnln_mosei", "options": {"max_tokens": 39, "weights.adversarial": 0.6}}
