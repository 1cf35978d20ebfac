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
    "datasets": {
        "mosei": {"text_encoder": "bert-base-uncased", "rows": (16326, 1871, 4659), "aligned": True},
    },
    "columns": "Mult_acc_7 Has0_acc_2/Non0_acc_2 Has0_F1_score/Non0_F1_score MAE Corr",
    "rows": """
        mu 0.7, eta 1.0, alpha 1.0 | 53.6 84.8/85.9 84.8/85.6 0.537 0.765
        mu 0.4                     | 54.1 83.2/85.5 83.5/85.4 0.536 0.768
        mu 0.5                     | 53.5 83.1/86.1 83.5/86.0 0.537 0.760
        mu 0.6                     | 53.6 83.6/85.9 83.8/85.7 0.536 0.763
        mu 0.8                     | 54.1 83.0/85.6 83.3/85.5 0.533 0.764
        mu 0.9                     | 52.7 83.8/85.6 84.0/85.5 0.543 0.764
        eta 0.4                    | 53.7 83.0/85.7 83.3/85.6 0.532 0.765
        eta 0.6                    | 52.4 84.5/84.9 84.4/84.6 0.544 0.760
        eta 0.8                    | 54.1 84.1/85.1 84.2/84.9 0.536 0.763
        eta 1.2                    | 53.0 83.8/85.8 84.0/85.7 0.541 0.766
        eta 1.4                    | 53.6 84.1/85.5 84.1/85.2 0.538 0.760
        alpha 0.4                  | 53.6 82.4/85.3 82.7/85.2 0.532 0.768
        alpha 0.6                  | 53.8 82.8/85.5 83.1/85.4 0.539 0.759
        alpha 0.8                  | 53.3 84.4/85.4 84.4/85.2 0.542 0.765
        alpha 1.2                  | 53.8 83.7/85.6 83.8/85.4 0.536 0.762
        alpha 1.4                  | 52.3 84.8/86.1 84.8/85.9 0.546 0.765
    """,
    "base": {"method": "mmcl", "options": {"weights.uni": 0.7, "weights.sentiment": 1.0, "weights.cross": 1.0}},
    "variants": (
        {"name": "mu 0.7, eta 1.0, alpha 1.0"},
        {"name": "mu 0.4", "options": {"weights.uni": 0.4}},
        {"name": "mu 0.5", "options": {"weights.uni": 0.5}},
        {"name": "mu 0.6", "options": {"weights.uni": 0.6}},
        {"name": "mu 0.8", "options": {"weights.uni": 0.8}},
        {"name": "mu 0.9", "options": {"weights.uni": 0.9}},
        {"name": "eta 0.4", "options": {"weights.sentiment": 0.4}},
        {"name": "eta 0.6", "options": {"weights.sentiment": 0.6}},
        {"name": "eta 0.8", "options": {"weights.sentiment": 0.8}},
        {"name": "eta 1.2", "options": {"weights.sentiment": 1.2}},
        {"name": "eta 1.4", "options": {"weights.sentiment": 1.4}},
        {"name": "alpha 0.4", "options": {"weights.cross": 0.4}},
        {"name": "alpha 0.6", "options": {"weights.cross": 0.6}},
        {"name": "alpha 0.8", "options": {"weights.cross": 0.8}},
        {"name": "alpha 1.2", "options": {"weights.cross": 1.2}},
        {"name": "alpha 1.4", "options": {"weights.cross": 1.4}},
    ),
    "notes": (
        "mu, eta and alpha weigh L_uni, L_sent and L_cross. A variant that names one has the others at 0.7, 1.0 and 1.0.",
    ),
}
