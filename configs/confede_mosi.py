"""ConFEDE on MOSI, unaligned features: three encoders first, then the fusion.

    msa-jax train confede --data MOSI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased

Encoders: text 200 epochs, the first third with BERT frozen, in batches of 128; audio and vision 100 epochs each, two
layers. Fusion: 25 epochs, batches of 16, BERT frozen. Rates 1e-4, warm-ups of 5, 10, 5 and 1 epochs, no early stop.
The warm-up of text is that of two schedules, with BERT frozen and without.
These are values of the authors' code. It tokenises up to 256, and selects the fusion by MAE on valid, as here.
Rerun by DMMSA (Table 3), mean of five seeds: MAE 0.725, Corr 0.789, Acc-2 83.85/85.55, F1 83.83/85.76, Acc-7 43.82.
"""

PRESET = {"method": "confede"}
