"""DMMSA on SIMS, unaligned features: three encoders first, then the fusion.

    msa-jax train dmmsa --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese

Encoders: text 150 epochs at 1e-5, the first third with BERT frozen, then its last layer alone is trained; audio 300
epochs, two layers, and vision 300 epochs, one layer, at 1e-4; batches of 64; each on the human label of its modality.
Fusion: 50 epochs at 1e-4, batches of 32, BERT frozen. Warm-ups of 5, 10, 10 and 1 epochs, no early stop.
The warm-up of text is that of two schedules, with BERT frozen and without.
The paper says that its settings are those of ConFEDE; its table of them (Table 6) has lost its body in the text that
this was written from, so these are the values of ConFEDE's code. It leaves open: phi, the temperatures, what a training
stage of GDWG is, how many classifiers there are; for the readings see msa_jax.methods.dmmsa.
Published (Table 5): MAE 0.3778, Corr 0.66, Acc-3 69.63, Acc-5 46.92.
"""

PRESET = {
    "extends": "confede_sims",
    "method": "dmmsa",
}
