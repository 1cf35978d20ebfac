"""MMCL, Table 2: what each part brings.

    msa-jax reproduce mmcl.table2 --data MOSEI/Processed/aligned_50.pkl --text-encoder bert-base-uncased
    msa-jax reproduce mmcl.table2 --data synthetic

What the paper shows. On MOSEI, every part that is taken away makes every number worse: MAE 0.537 becomes 0.564 without any
contrast and 0.567 with linear layers in place of the uni-modal Transformers, the two that cost most.

How the ablations are meant. "rp Transformer" replaces the uni-modal Transformers by linear layers. "w/o" a loss removes its
term alone. ICL is the three losses of instance-based contrastive learning together, L_cross, L_align and L_uniform; SCL is
L_sent, the sentiment-based one. "No Contrast" trains on the regression loss alone; the network stays as it is.

Hardware. The paper trains on one GTX 1080 Ti and states no training time. Cost: nine variants x seeds.

Caveats. The number of runs is stated for Tables 1 and 3 alone (five). Whether hyper-parameters were tuned for each row is
not stated either; here all rows share those of the preset. Without any contrast that looks at the targets, as in No
Contrast, the two CNNs that make them are not there, since nothing would train them. Acc-2 and F1 are printed as has0/non0.
"""

STUDY = {
    "title": "MMCL, ablation",
    "kind": "table",
    "paper": "Lin and Hu, Findings of EMNLP 2022, Table 2",
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
            "name": "MMCL",
            "method": "mmcl",
            "options": {
                "unimodal": "transformer",
                "contrast": ("uni", "cross", "alignment", "uniformity", "sentiment"),
            },
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
            "name": "rp Transformer",
            "method": "mmcl",
            "options": {"unimodal": "linear", "contrast": ("uni", "cross", "alignment", "uniformity", "sentiment")},
            "paper": {
                "mosei": {
                    "Mult_acc_7": 0.510,
                    "Has0_acc_2": 0.819,
                    "Non0_acc_2": 0.847,
                    "Has0_F1_score": 0.822,
                    "Non0_F1_score": 0.846,
                    "MAE": 0.567,
                    "Corr": 0.741,
                }
            },
        },
        {
            "name": "w/o L_uni",
            "method": "mmcl",
            "options": {"unimodal": "transformer", "contrast": ("cross", "alignment", "uniformity", "sentiment")},
            "paper": {
                "mosei": {
                    "Mult_acc_7": 0.524,
                    "Has0_acc_2": 0.826,
                    "Non0_acc_2": 0.855,
                    "Has0_F1_score": 0.829,
                    "Non0_F1_score": 0.853,
                    "MAE": 0.554,
                    "Corr": 0.752,
                }
            },
        },
        {
            "name": "w/o ICL",
            "method": "mmcl",
            "options": {"unimodal": "transformer", "contrast": ("uni", "sentiment")},
            "paper": {
                "mosei": {
                    "Mult_acc_7": 0.520,
                    "Has0_acc_2": 0.817,
                    "Non0_acc_2": 0.847,
                    "Has0_F1_score": 0.820,
                    "Non0_F1_score": 0.846,
                    "MAE": 0.550,
                    "Corr": 0.755,
                }
            },
        },
        {
            "name": "w/o L_cross",
            "method": "mmcl",
            "options": {"unimodal": "transformer", "contrast": ("uni", "alignment", "uniformity", "sentiment")},
            "paper": {
                "mosei": {
                    "Mult_acc_7": 0.530,
                    "Has0_acc_2": 0.838,
                    "Non0_acc_2": 0.852,
                    "Has0_F1_score": 0.837,
                    "Non0_F1_score": 0.849,
                    "MAE": 0.543,
                    "Corr": 0.761,
                }
            },
        },
        {
            "name": "w/o L_align",
            "method": "mmcl",
            "options": {"unimodal": "transformer", "contrast": ("uni", "cross", "uniformity", "sentiment")},
            "paper": {
                "mosei": {
                    "Mult_acc_7": 0.529,
                    "Has0_acc_2": 0.839,
                    "Non0_acc_2": 0.850,
                    "Has0_F1_score": 0.838,
                    "Non0_F1_score": 0.846,
                    "MAE": 0.554,
                    "Corr": 0.756,
                }
            },
        },
        {
            "name": "w/o L_uniform",
            "method": "mmcl",
            "options": {"unimodal": "transformer", "contrast": ("uni", "cross", "alignment", "sentiment")},
            "paper": {
                "mosei": {
                    "Mult_acc_7": 0.523,
                    "Has0_acc_2": 0.844,
                    "Non0_acc_2": 0.855,
                    "Has0_F1_score": 0.844,
                    "Non0_F1_score": 0.852,
                    "MAE": 0.553,
                    "Corr": 0.757,
                }
            },
        },
        {
            "name": "w/o SCL",
            "method": "mmcl",
            "options": {"unimodal": "transformer", "contrast": ("uni", "cross", "alignment", "uniformity")},
            "paper": {
                "mosei": {
                    "Mult_acc_7": 0.522,
                    "Has0_acc_2": 0.822,
                    "Non0_acc_2": 0.849,
                    "Has0_F1_score": 0.826,
                    "Non0_F1_score": 0.848,
                    "MAE": 0.546,
                    "Corr": 0.756,
                }
            },
        },
        {
            "name": "No Contrast",
            "method": "mmcl",
            "options": {"unimodal": "transformer", "contrast": ()},
            "paper": {
                "mosei": {
                    "Mult_acc_7": 0.513,
                    "Has0_acc_2": 0.812,
                    "Non0_acc_2": 0.843,
                    "Has0_F1_score": 0.816,
                    "Non0_F1_score": 0.840,
                    "MAE": 0.564,
                    "Corr": 0.746,
                }
            },
        },
    ),
    "notes": ("Differences are from MMCL with all its parts.",),
}
