"""MMCL, Table 4: which modalities help.

    msa-jax reproduce mmcl.table4 --data MOSEI/Processed/aligned_50.pkl --text-encoder bert-base-uncased
    msa-jax reproduce mmcl.table4 --data synthetic

What the paper shows. On MOSEI: text alone has MAE 0.552, with audio 0.540, with vision 0.538, with both 0.537; without text
it is 0.835 or worse. Acc-2 has0 rises from 80.7 to 84.8, non0 from 85.3 to 85.9.

How the ablation is meant. A modality is removed by setting its representation "to all zero vector", so that the architecture
does not change (A.3). So the network, its size and its losses stay; the representation F is zeros, in training and in use.

Hardware. The paper trains on one GTX 1080 Ti and states no training time. Cost: seven variants x seeds.

What audio and vision alone say. A + V has Acc-2 71.0/62.9 with F1 59.0/48.5 and Corr 0.148. A guess that is always positive has
an Acc-2 of p, the share of positive samples, and an F1, weighted by class, of 2p²/(1 + p): 59.0 and 48.6 for p of 71.0 and 62.9.
So without text the paper's model says positive of nearly every sample.

Caveats. A modality that is zeros is still predicted, and its contrasts stay, though its target no longer knows the sample.
A text model of its own, without all this, is text_only: see mmcl.table1. The number of runs is not stated for this table.
Acc-2 and F1 are printed as has0/non0.
"""

STUDY = {
    "title": "MMCL, which modalities help",
    "kind": "table",
    "paper": "Lin and Hu, Findings of EMNLP 2022, Table 4",
    "datasets": {"mosei": {"text_encoder": "bert-base-uncased", "rows": (16326, 1871, 4659), "aligned": True}},
    "metrics": (
        "Mult_acc_7",
        "Has0_acc_2",
        "Non0_acc_2",
        "Has0_F1_score",
        "Non0_F1_score",
        "MAE",
        "Corr",
        "Mult_acc_2",
        "F1_score",
    ),
    "variants": (
        {
            "name": "T + A + V",
            "method": "mmcl",
            "options": {"modalities": ("t", "a", "v")},
            "needs": ("text", "audio", "vision"),
            "paper": {
                "mosei": {
                    "Mult_acc_7": 0.536,
                    "Has0_acc_2": 0.848,
                    "Non0_acc_2": 0.859,
                    "Has0_F1_score": 0.848,
                    "Non0_F1_score": 0.857,
                    "MAE": 0.537,
                    "Corr": 0.765,
                }
            },
        },
        {
            "name": "T + V",
            "method": "mmcl",
            "options": {"modalities": ("t", "v")},
            "needs": ("text", "vision"),
            "paper": {
                "mosei": {
                    "Mult_acc_7": 0.536,
                    "Has0_acc_2": 0.836,
                    "Non0_acc_2": 0.859,
                    "Has0_F1_score": 0.839,
                    "Non0_F1_score": 0.859,
                    "MAE": 0.538,
                    "Corr": 0.763,
                }
            },
        },
        {
            "name": "T + A",
            "method": "mmcl",
            "options": {"modalities": ("t", "a")},
            "needs": ("text", "audio"),
            "paper": {
                "mosei": {
                    "Mult_acc_7": 0.533,
                    "Has0_acc_2": 0.824,
                    "Non0_acc_2": 0.855,
                    "Has0_F1_score": 0.828,
                    "Non0_F1_score": 0.854,
                    "MAE": 0.540,
                    "Corr": 0.762,
                }
            },
        },
        {
            "name": "A + V",
            "method": "mmcl",
            "options": {"modalities": ("a", "v")},
            "needs": ("audio", "vision"),
            "paper": {
                "mosei": {
                    "Mult_acc_7": 0.414,
                    "Has0_acc_2": 0.710,
                    "Non0_acc_2": 0.629,
                    "Has0_F1_score": 0.590,
                    "Non0_F1_score": 0.485,
                    "MAE": 0.837,
                    "Corr": 0.148,
                }
            },
        },
        {
            "name": "T",
            "method": "mmcl",
            "options": {"modalities": ("t",)},
            "needs": ("text",),
            "paper": {
                "mosei": {
                    "Mult_acc_7": 0.526,
                    "Has0_acc_2": 0.807,
                    "Non0_acc_2": 0.853,
                    "Has0_F1_score": 0.814,
                    "Non0_F1_score": 0.854,
                    "MAE": 0.552,
                    "Corr": 0.761,
                }
            },
        },
        {
            "name": "V",
            "method": "mmcl",
            "options": {"modalities": ("v",)},
            "needs": ("vision",),
            "paper": {
                "mosei": {
                    "Mult_acc_7": 0.409,
                    "Has0_acc_2": 0.709,
                    "Non0_acc_2": 0.628,
                    "Has0_F1_score": 0.592,
                    "Non0_F1_score": 0.489,
                    "MAE": 0.841,
                    "Corr": 0.109,
                }
            },
        },
        {
            "name": "A",
            "method": "mmcl",
            "options": {"modalities": ("a",)},
            "needs": ("audio",),
            "paper": {
                "mosei": {
                    "Mult_acc_7": 0.416,
                    "Has0_acc_2": 0.700,
                    "Non0_acc_2": 0.628,
                    "Has0_F1_score": 0.605,
                    "Non0_F1_score": 0.511,
                    "MAE": 0.835,
                    "Corr": 0.116,
                }
            },
        },
    ),
}
