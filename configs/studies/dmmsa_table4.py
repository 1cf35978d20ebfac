"""DMMSA, Table 4: how much training data it needs.

    msa-jax reproduce dmmsa.table4 --data MOSEI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased
    msa-jax reproduce dmmsa.table4 --data synthetic

What the paper shows. On MOSEI with all rows of train, 80, 60, 40, 20 and 10 %: MAE 0.527, 0.532, 0.538, 0.540, 0.551,
0.552. By its words Acc-2 has converged at 60 %, while Acc-7, MAE and Corr go on improving; of Acc-7 this is not so at
60 %.

How it is meant. The rows that are left out are not seen at all, by the encoders neither. Which rows those are is not
said: here they are the same for every seed, stratified by label, and each smaller share is part of the larger (option
train_fraction_seed).

Hardware. The paper trains on one A100 and states no training time. Cost: six variants x seeds, with three pretrained
encoders each.

Caveats. The number of runs is not stated for this table. The epochs stay the same, so that less data is also fewer
steps. Valid and test are always whole. "83,77" of the text is read as 83.77.
"""

STUDY = {
    "title": "DMMSA, shares of the training data",
    "kind": "table",
    "paper": "DMMSA, Applied Sciences 2025, 15(11), 6342, Table 4",
    "datasets": {"mosei": {"text_encoder": "bert-base-uncased", "rows": (16326, 1871, 4659), "aligned": False}},
    "metrics": (
        "Has0_acc_2",
        "Non0_acc_2",
        "Has0_F1_score",
        "Non0_F1_score",
        "Mult_acc_7",
        "MAE",
        "Corr",
        "Mult_acc_2",
        "F1_score",
    ),
    "variants": (
        {
            "name": "100 %",
            "method": "dmmsa",
            "options": {"train_fraction": 1.0},
            "paper": {
                "mosei": {
                    "Has0_acc_2": 0.8263,
                    "Non0_acc_2": 0.8627,
                    "Has0_F1_score": 0.8304,
                    "Non0_F1_score": 0.8621,
                    "Mult_acc_7": 0.5391,
                    "MAE": 0.527,
                    "Corr": 0.777,
                }
            },
        },
        {
            "name": "80 %",
            "method": "dmmsa",
            "options": {"train_fraction": 0.8},
            "paper": {
                "mosei": {
                    "Has0_acc_2": 0.8241,
                    "Non0_acc_2": 0.8615,
                    "Has0_F1_score": 0.8287,
                    "Non0_F1_score": 0.8614,
                    "Mult_acc_7": 0.5339,
                    "MAE": 0.532,
                    "Corr": 0.772,
                }
            },
        },
        {
            "name": "60 %",
            "method": "dmmsa",
            "options": {"train_fraction": 0.6},
            "paper": {
                "mosei": {
                    "Has0_acc_2": 0.8377,
                    "Non0_acc_2": 0.8612,
                    "Has0_F1_score": 0.8401,
                    "Non0_F1_score": 0.8599,
                    "Mult_acc_7": 0.5277,
                    "MAE": 0.538,
                    "Corr": 0.769,
                }
            },
        },
        {
            "name": "40 %",
            "method": "dmmsa",
            "options": {"train_fraction": 0.4},
            "paper": {
                "mosei": {
                    "Has0_acc_2": 0.8278,
                    "Non0_acc_2": 0.8609,
                    "Has0_F1_score": 0.8316,
                    "Non0_F1_score": 0.8603,
                    "Mult_acc_7": 0.5336,
                    "MAE": 0.540,
                    "Corr": 0.767,
                }
            },
        },
        {
            "name": "20 %",
            "method": "dmmsa",
            "options": {"train_fraction": 0.2},
            "paper": {
                "mosei": {
                    "Has0_acc_2": 0.8068,
                    "Non0_acc_2": 0.8503,
                    "Has0_F1_score": 0.8127,
                    "Non0_F1_score": 0.8506,
                    "Mult_acc_7": 0.5237,
                    "MAE": 0.551,
                    "Corr": 0.760,
                }
            },
        },
        {
            "name": "10 %",
            "method": "dmmsa",
            "options": {"train_fraction": 0.1},
            "paper": {
                "mosei": {
                    "Has0_acc_2": 0.8189,
                    "Non0_acc_2": 0.8508,
                    "Has0_F1_score": 0.8233,
                    "Non0_F1_score": 0.8504,
                    "Mult_acc_7": 0.5218,
                    "MAE": 0.552,
                    "Corr": 0.755,
                }
            },
        },
    ),
    "notes": ("Differences are from all of the training data.",),
}
