"""MAG-BERT on MOSEI, token-aligned features, as its authors' code trains it: AdamW at 1e-5, 40 epochs with warm-up, squared error.

    msa-jax train mag_bert --data MOSEI/Processed/aligned_50.pkl --text-encoder bert-base-uncased

The code has one set of values for MOSI and MOSEI, the defaults of the method.
Published: Acc-2 84.7, F1 84.5; the code selects no epoch and logs the best accuracy on test. Reruns of
five seeds each (how epochs were selected is not said): Self-MM's authors, MAE 0.539, Corr 0.753, Acc-2 83.79/85.23, F1 83.74/85.08; MMCL's, MAE 0.558, Corr 0.761, Acc-2 81.9/85.1.
"""

PRESET = {"method": "mag_bert"}
