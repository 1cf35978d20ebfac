"""MMCL, Table 5: the weights of the contrasts.

    msa-jax reproduce mmcl.table5 --data MOSEI/Processed/aligned_50.pkl --text-encoder bert-base-uncased
    msa-jax reproduce mmcl.table5 --data synthetic

What the paper shows. On MOSEI, mu (of L_uni), eta (of L_sent) and alpha (of L_cross) vary one at a time around 0.7, 1.0 and
1.0: MAE between 0.532 and 0.546, "no significant performance drop". Seven of the fifteen other settings have a better MAE than
the values that were chosen (0.537): eta 0.4 and alpha 0.4 (0.532), mu 0.8 (0.533), mu 0.4 and 0.6, eta 0.8 and alpha 1.2 (0.536).

Hardware. The paper trains on one GTX 1080 Ti and states no training time. Cost: sixteen variants x seeds.

Caveats. Read it as sensitivity: what is measured on test may not choose a weight. Its three rows of the chosen values are one
variant here; they print F1 non0 85.6 where Tables 1, 2 and 4 print 85.7. beta and gamma are not varied. Acc-2 and F1 are
printed as has0/non0.
"""

STUDY = {
    "title": "MMCL, weights of the contrasts",
    "kind": "table",
    "paper": "Lin and Hu, Findings of EMNLP 2022, Table 5",
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
            "name": "mu 0.7, eta 1.0, alpha 1.0",
            "method": "mmcl",
            "options": {"weights.uni": 0.7, "weights.sentiment": 1.0, "weights.cross": 1.0},
            "paper": {
                "mosei": {
                    "Mult_acc_7": 0.536,
                    "Has0_acc_2": 0.848,
                    "Non0_acc_2": 0.859,
                    "Has0_F1_score": 0.848,
                    "Non0_F1_score": 0.856,
                    "MAE": 0.537,
                    "Corr": 0.765,
                }
            },
        },
        {
            "name": "mu 0.4",
            "method": "mmcl",
            "options": {"weights.uni": 0.4, "weights.sentiment": 1.0, "weights.cross": 1.0},
            "paper": {
                "mosei": {
                    "Mult_acc_7": 0.541,
                    "Has0_acc_2": 0.832,
                    "Non0_acc_2": 0.855,
                    "Has0_F1_score": 0.835,
                    "Non0_F1_score": 0.854,
                    "MAE": 0.536,
                    "Corr": 0.768,
                }
            },
        },
        {
            "name": "mu 0.5",
            "method": "mmcl",
            "options": {"weights.uni": 0.5, "weights.sentiment": 1.0, "weights.cross": 1.0},
            "paper": {
                "mosei": {
                    "Mult_acc_7": 0.535,
                    "Has0_acc_2": 0.831,
                    "Non0_acc_2": 0.861,
                    "Has0_F1_score": 0.835,
                    "Non0_F1_score": 0.860,
                    "MAE": 0.537,
                    "Corr": 0.760,
                }
            },
        },
        {
            "name": "mu 0.6",
            "method": "mmcl",
            "options": {"weights.uni": 0.6, "weights.sentiment": 1.0, "weights.cross": 1.0},
            "paper": {
                "mosei": {
                    "Mult_acc_7": 0.536,
                    "Has0_acc_2": 0.836,
                    "Non0_acc_2": 0.859,
                    "Has0_F1_score": 0.838,
                    "Non0_F1_score": 0.857,
                    "MAE": 0.536,
                    "Corr": 0.763,
                }
            },
        },
        {
            "name": "mu 0.8",
            "method": "mmcl",
            "options": {"weights.uni": 0.8, "weights.sentiment": 1.0, "weights.cross": 1.0},
            "paper": {
                "mosei": {
                    "Mult_acc_7": 0.541,
                    "Has0_acc_2": 0.830,
                    "Non0_acc_2": 0.856,
                    "Has0_F1_score": 0.833,
                    "Non0_F1_score": 0.855,
                    "MAE": 0.533,
                    "Corr": 0.764,
                }
            },
        },
        {
            "name": "mu 0.9",
            "method": "mmcl",
            "options": {"weights.uni": 0.9, "weights.sentiment": 1.0, "weights.cross": 1.0},
            "paper": {
                "mosei": {
                    "Mult_acc_7": 0.527,
                    "Has0_acc_2": 0.838,
                    "Non0_acc_2": 0.856,
                    "Has0_F1_score": 0.840,
                    "Non0_F1_score": 0.855,
                    "MAE": 0.543,
                    "Corr": 0.764,
                }
            },
        },
        {
            "name": "eta 0.4",
            "method": "mmcl",
            "options": {"weights.uni": 0.7, "weights.sentiment": 0.4, "weights.cross": 1.0},
            "paper": {
                "mosei": {
                    "Mult_acc_7": 0.537,
                    "Has0_acc_2": 0.830,
                    "Non0_acc_2": 0.857,
                    "Has0_F1_score": 0.833,
                    "Non0_F1_score": 0.856,
                    "MAE": 0.532,
                    "Corr": 0.765,
                }
            },
        },
        {
            "name": "eta 0.6",
            "method": "mmcl",
            "options": {"weights.uni": 0.7, "weights.sentiment": 0.6, "weights.cross": 1.0},
            "paper": {
                "mosei": {
                    "Mult_acc_7": 0.524,
                    "Has0_acc_2": 0.845,
                    "Non0_acc_2": 0.849,
                    "Has0_F1_score": 0.844,
                    "Non0_F1_score": 0.846,
                    "MAE": 0.544,
                    "Corr": 0.760,
                }
            },
        },
        {
            "name": "eta 0.8",
            "method": "mmcl",
            "options": {"weights.uni": 0.7, "weights.sentiment": 0.8, "weights.cross": 1.0},
            "paper": {
                "mosei": {
                    "Mult_acc_7": 0.541,
                    "Has0_acc_2": 0.841,
                    "Non0_acc_2": 0.851,
                    "Has0_F1_score": 0.842,
                    "Non0_F1_score": 0.849,
                    "MAE": 0.536,
                    "Corr": 0.763,
                }
            },
        },
        {
            "name": "eta 1.2",
            "method": "mmcl",
            "options": {"weights.uni": 0.7, "weights.sentiment": 1.2, "weights.cross": 1.0},
            "paper": {
                "mosei": {
                    "Mult_acc_7": 0.530,
                    "Has0_acc_2": 0.838,
                    "Non0_acc_2": 0.858,
                    "Has0_F1_score": 0.840,
                    "Non0_F1_score": 0.857,
                    "MAE": 0.541,
                    "Corr": 0.766,
                }
            },
        },
        {
            "name": "eta 1.4",
            "method": "mmcl",
            "options": {"weights.uni": 0.7, "weights.sentiment": 1.4, "weights.cross": 1.0},
            "paper": {
                "mosei": {
                    "Mult_acc_7": 0.536,
                    "Has0_acc_2": 0.841,
                    "Non0_acc_2": 0.855,
                    "Has0_F1_score": 0.841,
                    "Non0_F1_score": 0.852,
                    "MAE": 0.538,
                    "Corr": 0.760,
                }
            },
        },
        {
            "name": "alpha 0.4",
            "method": "mmcl",
            "options": {"weights.uni": 0.7, "weights.sentiment": 1.0, "weights.cross": 0.4},
            "paper": {
                "mosei": {
                    "Mult_acc_7": 0.536,
                    "Has0_acc_2": 0.824,
                    "Non0_acc_2": 0.853,
                    "Has0_F1_score": 0.827,
                    "Non0_F1_score": 0.852,
                    "MAE": 0.532,
                    "Corr": 0.768,
                }
            },
        },
        {
            "name": "alpha 0.6",
            "method": "mmcl",
            "options": {"weights.uni": 0.7, "weights.sentiment": 1.0, "weights.cross": 0.6},
            "paper": {
                "mosei": {
                    "Mult_acc_7": 0.538,
                    "Has0_acc_2": 0.828,
                    "Non0_acc_2": 0.855,
                    "Has0_F1_score": 0.831,
                    "Non0_F1_score": 0.854,
                    "MAE": 0.539,
                    "Corr": 0.759,
                }
            },
        },
        {
            "name": "alpha 0.8",
            "method": "mmcl",
            "options": {"weights.uni": 0.7, "weights.sentiment": 1.0, "weights.cross": 0.8},
            "paper": {
                "mosei": {
                    "Mult_acc_7": 0.533,
                    "Has0_acc_2": 0.844,
                    "Non0_acc_2": 0.854,
                    "Has0_F1_score": 0.844,
                    "Non0_F1_score": 0.852,
                    "MAE": 0.542,
                    "Corr": 0.765,
                }
            },
        },
        {
            "name": "alpha 1.2",
            "method": "mmcl",
            "options": {"weights.uni": 0.7, "weights.sentiment": 1.0, "weights.cross": 1.2},
            "paper": {
                "mosei": {
                    "Mult_acc_7": 0.538,
                    "Has0_acc_2": 0.837,
                    "Non0_acc_2": 0.856,
                    "Has0_F1_score": 0.838,
                    "Non0_F1_score": 0.854,
                    "MAE": 0.536,
                    "Corr": 0.762,
                }
            },
        },
        {
            "name": "alpha 1.4",
            "method": "mmcl",
            "options": {"weights.uni": 0.7, "weights.sentiment": 1.0, "weights.cross": 1.4},
            "paper": {
                "mosei": {
                    "Mult_acc_7": 0.523,
                    "Has0_acc_2": 0.848,
                    "Non0_acc_2": 0.861,
                    "Has0_F1_score": 0.848,
                    "Non0_F1_score": 0.859,
                    "MAE": 0.546,
                    "Corr": 0.765,
                }
            },
        },
    ),
    "notes": (
        "mu, eta and alpha weigh L_uni, L_sent and L_cross. A variant that names one has the others at 0.7, 1.0 and 1.0.",
    ),
}
