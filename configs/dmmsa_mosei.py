"""DMMSA on MOSEI, unaligned features: three encoders first, then the fusion.

    msa-jax train dmmsa --data MOSEI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased

Encoders: text 150 epochs at 1e-5, the first third with BERT frozen, in batches of 64; audio and vision 300 epochs each,
three layers, at 1e-4. Fusion: 6 epochs at 1e-4, batches of 8, BERT frozen. Warm-ups of 5, 10, 10 and 1 epochs, no early
stop.
The warm-up of text is that of two schedules, with BERT frozen and without.
The paper says that its settings are those of ConFEDE; its table of them (Table 6) has lost its body in the text that
this was written from, so these are the values of ConFEDE's code. It leaves open: phi, the temperatures, what a training
stage of GDWG is, how many classifiers there are; for the readings see msa_jax.methods.dmmsa.
Published, mean of five seeds (Table 3): MAE 0.527, Corr 0.777, Acc-2 82.63/86.27, F1 83.04/86.21, Acc-7 53.91.
"""

PRESET = {
    "extends": "confede_mosei",
    "method": "dmmsa",
}
