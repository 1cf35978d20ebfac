"""DMMSA, Table 5: what each part brings.

    msa-jax reproduce dmmsa.table5 --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese
    msa-jax reproduce dmmsa.table5 --data synthetic

What the paper shows. On SIMS: without the coarse classification (MSC) every number is worse, Acc-5 44.68 after 46.92;
without the contrast (CL) above all MAE and Corr, 0.3828 after 0.3778 and 0.651 after 0.66; without dynamic weights
(GDWG) the accuracies fall while MAE and Corr gain a little.

How the ablations are meant. "w/o MSC" and "w/o CL" leave the term out, "w/o GDWG" keeps both weights at what they are
at first, 0.5 each; what they are there the paper does not say. Three rows are not in the paper. "w/o CL, same weight" has
half of the weights' sum, so that the contrast goes and the weight of the single-part losses stays; "fixed weights of
ConFEDE" has 0.01 and 0.1 in the place of GDWG's, which sum to 1; NT-Xent is the loss of eq. 1, which sums over the positive
pairs, in the place of eq. 3, which the paper proposes against that.

Hardware. The paper trains on one A100 and states no training time. Cost: seven variants x seeds, with the three encoders
pretrained once for each seed, since they are the same for all variants.

Caveats. The number of runs is not stated for this table. In "w/o CL" the single-part losses have the whole weight, 1
instead of about 0.5, so that it differs from DMMSA in two things. "46 74" and "46 17" of the text are read as 46.74 and 46.17. The mean of eq. 1 over the
pairs is taken, not their sum.
"""

STUDY = {
    "title": "DMMSA, ablation",
    "kind": "table",
    "paper": "DMMSA, Applied Sciences 2025, 15(11), 6342, Table 5",
    "datasets": {
        "sims": {"text_encoder": "bert-base-chinese", "rows": (1368, 456, 457), "aligned": False},
    },
    "columns": "Mult_acc_3 Mult_acc_5 MAE Corr",
    "rows": """
        DMMSA    | 69.63 46.92 0.3778 0.66
        w/o MSC  | 68.41 44.68 0.3807 0.656
        w/o CL   | 69.41 46.74 0.3828 0.651
        w/o GDWG | 69.32 46.17 0.3776 0.663
    """,
    "also": ("Mult_acc_2", "F1_score", "Non0_acc_2", "Non0_F1_score", "Mult_acc_7"),
    "base": {
        "method": "dmmsa",
        "options": {"classification": True, "contrast": "multi_nt_xent", "gdwg": True, "gdwg_scale": 1.0},
    },
    "variants": (
        {"name": "DMMSA"},
        {"name": "w/o MSC", "options": {"classification": False}},
        {"name": "w/o CL", "options": {"contrast": "none"}},
        {"name": "w/o CL, same weight", "options": {"contrast": "none", "gdwg_scale": 0.5}},
        {"name": "w/o GDWG", "options": {"gdwg": False}},
        {
            "name": "fixed weights of ConFEDE",
            "options": {"gdwg": False, "fixed_weights.unimodal": 0.01, "fixed_weights.contrast": 0.1},
        },
        {"name": "NT-Xent", "options": {"contrast": "nt_xent"}},
    ),
    "notes": (
        "Differences are from DMMSA with all its parts. Not in the paper: w/o CL with the same weight, fixed weights, NT-Xent.",
        "The encoders are trained once for each seed, for the first variant; the others take them from it.",
    ),
    "share_stages": True,
}
