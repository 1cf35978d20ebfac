"""DMMSA on MOSI, unaligned features: three encoders first, then the fusion.

    msa-jax train dmmsa --data MOSI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased

Encoders: text 200 epochs, the first third with BERT frozen, in batches of 128; audio and vision 100 epochs each, two
layers. Fusion: 25 epochs, batches of 16, BERT frozen. Rates 1e-4, warm-ups of 5, 10, 5 and 1 epochs, no early stop.
The warm-up of text is that of two schedules, with BERT frozen and without.
The paper says that its settings are those of ConFEDE; its table of them (Table 6) has lost its body in the text that
this was written from, so these are the values of ConFEDE's code. It leaves open: phi, the temperatures, what a training
stage of GDWG is, how many classifiers there are; for the readings see msa_jax.methods.dmmsa.
Published, mean of five seeds (Table 3): MAE 0.710, Corr 0.793, Acc-2 83.97/85.70, F1 83.92/85.70, Acc-7 45.39.
"""

PRESET = {"method": "dmmsa"}
