"""MMCL on MOSI, token-aligned features, as the paper states it: Adam, 5e-5 for BERT, 5e-3 for the rest, batches of 32.

    msa-jax train mmcl --data MOSI/Processed/aligned_50.pkl --text-encoder bert-base-uncased

The paper gives mu 0.7, eta 1 and alpha 1 for MOSEI (Table 5), taken here too;
temperature, beta, gamma and dropout of its best model it does not: the middle of the appendix's grid (0.05, 0.1, 0.7;
0.6, 0.75, 0.9; 0.05, 0.1, 0.2), and the lower dropout (0.1, 0.6). The whole grid of the appendix:

    temperature=0.05,0.1,0.7 weights.uni=0.6,0.7,0.8 weights.sentiment=0.8,0.9,1.0 weights.cross=0.8,0.9,1.0 weights.alignment=0.6,0.75,0.9 weights.uniformity=0.05,0.1,0.2 dropout=0.1,0.6

Published, mean of five seeds (Table 1): MAE 0.705, Corr 0.797, Acc-2 84.0/86.3, F1 83.8/86.2, Acc-7 46.5.
"""

PRESET = {
    "method": "mmcl",
    "options": {
        "learning_rate.audio": 0.005,
        "learning_rate.vision": 0.005,
        "learning_rate.other": 0.005,
    },
}
