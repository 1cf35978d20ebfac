"""MAG-BERT on MOSI, token-aligned features, as its authors' code trains it: AdamW at 1e-5, 40 epochs with warm-up, squared error.

    msa-jax train mag_bert --data MOSI/Processed/aligned_50.pkl --text-encoder bert-base-uncased

All settings are defaults of the method. The authors' features are others, of 74 audio and 47 vision columns.
Published: MAE 0.712, Corr 0.796, Acc-2 84.2/86.1, F1 84.1/86.0. The code selects no epoch and logs the best accuracy on
test, so these are no numbers to aim at. Reruns (how epochs were selected is not said): Self-MM's authors, five seeds, MAE 0.731,
Corr 0.789, Acc-2 82.54/84.3; MMCL's, five seeds, MAE 0.730, Corr 0.789, Acc-2 82.4/84.6. An independent one, ten seeds
selected on valid, MAE 0.739 (sd 0.018), Corr 0.787, Acc-2 non0 84.4.
"""

PRESET = {"method": "mag_bert"}
