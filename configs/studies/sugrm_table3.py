"""SUGRM, Table 3: which unimodal tasks help.

    msa-jax reproduce sugrm.table3 --data MOSI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased
    msa-jax reproduce sugrm.table3 --data MOSEI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased

What the paper shows. On MOSI, by MAE, one unimodal task makes the multimodal task worse, two help except M, A, T, and three
help most (0.755 -> 0.703). By Acc-2 and F1 M, A, T helps as well (84.2 after 84.0, non0), and by Corr M, V, T does not (0.778
after 0.779). On MOSEI all three together have the largest MAE of the table (0.544; M alone 0.539) and
the best F1 and Acc-2 over all rows.

Hardware. The paper trains on one TITAN Xp; it states no training time. Cost: eight variants x seeds.

Caveats. The number of runs behind a number is not stated. Acc-2 and F1 are read as negative/non-negative /
negative/positive, as the captions of Tables 1 and 8 say. Underlining in the paper is not kept. On a dataset without a
modality, the variants with that modality's task would equal others, and are left out.
"""

STUDY = {
    "title": "SUGRM, which unimodal tasks help",
    "kind": "table",
    "paper": "Hwang and Kim, Findings of EACL 2023, Table 3",
    "datasets": {
        "mosi": {"text_encoder": "bert-base-uncased", "rows": (1284, 229, 686), "aligned": False},
        "mosei": {"text_encoder": "bert-base-uncased", "rows": (16326, 1871, 4659), "aligned": False},
    },
    "metrics": (
        "MAE",
        "Corr",
        "Has0_acc_2",
        "Non0_acc_2",
        "Has0_F1_score",
        "Non0_F1_score",
        "Mult_acc_2",
        "F1_score",
    ),
    "variants": (
        {
            "name": "M",
            "method": "sugrm",
            "options": {"tasks": ("m",)},
            "paper": {
                "mosi": {
                    "MAE": 0.755,
                    "Corr": 0.779,
                    "Has0_acc_2": 0.825,
                    "Non0_acc_2": 0.840,
                    "Has0_F1_score": 0.825,
                    "Non0_F1_score": 0.841,
                },
                "mosei": {
                    "MAE": 0.539,
                    "Corr": 0.759,
                    "Has0_acc_2": 0.809,
                    "Non0_acc_2": 0.847,
                    "Has0_F1_score": 0.815,
                    "Non0_F1_score": 0.847,
                },
            },
        },
        {
            "name": "M, V",
            "method": "sugrm",
            "options": {
                "tasks": (
                    "m",
                    "v",
                )
            },
            "needs": ("vision",),
            "paper": {
                "mosi": {
                    "MAE": 0.774,
                    "Corr": 0.757,
                    "Has0_acc_2": 0.811,
                    "Non0_acc_2": 0.820,
                    "Has0_F1_score": 0.811,
                    "Non0_F1_score": 0.821,
                },
                "mosei": {
                    "MAE": 0.543,
                    "Corr": 0.752,
                    "Has0_acc_2": 0.789,
                    "Non0_acc_2": 0.836,
                    "Has0_F1_score": 0.795,
                    "Non0_F1_score": 0.837,
                },
            },
        },
        {
            "name": "M, A",
            "method": "sugrm",
            "options": {
                "tasks": (
                    "m",
                    "a",
                )
            },
            "needs": ("audio",),
            "paper": {
                "mosi": {
                    "MAE": 0.764,
                    "Corr": 0.770,
                    "Has0_acc_2": 0.819,
                    "Non0_acc_2": 0.835,
                    "Has0_F1_score": 0.819,
                    "Non0_F1_score": 0.836,
                },
                "mosei": {
                    "MAE": 0.532,
                    "Corr": 0.763,
                    "Has0_acc_2": 0.824,
                    "Non0_acc_2": 0.853,
                    "Has0_F1_score": 0.827,
                    "Non0_F1_score": 0.852,
                },
            },
        },
        {
            "name": "M, T",
            "method": "sugrm",
            "options": {
                "tasks": (
                    "m",
                    "t",
                )
            },
            "needs": ("text",),
            "paper": {
                "mosi": {
                    "MAE": 0.773,
                    "Corr": 0.779,
                    "Has0_acc_2": 0.809,
                    "Non0_acc_2": 0.814,
                    "Has0_F1_score": 0.810,
                    "Non0_F1_score": 0.815,
                },
                "mosei": {
                    "MAE": 0.530,
                    "Corr": 0.763,
                    "Has0_acc_2": 0.804,
                    "Non0_acc_2": 0.838,
                    "Has0_F1_score": 0.808,
                    "Non0_F1_score": 0.837,
                },
            },
        },
        {
            "name": "M, A, V",
            "method": "sugrm",
            "options": {
                "tasks": (
                    "m",
                    "a",
                    "v",
                )
            },
            "needs": (
                "audio",
                "vision",
            ),
            "paper": {
                "mosi": {
                    "MAE": 0.731,
                    "Corr": 0.782,
                    "Has0_acc_2": 0.835,
                    "Non0_acc_2": 0.849,
                    "Has0_F1_score": 0.836,
                    "Non0_F1_score": 0.850,
                },
                "mosei": {
                    "MAE": 0.533,
                    "Corr": 0.757,
                    "Has0_acc_2": 0.833,
                    "Non0_acc_2": 0.846,
                    "Has0_F1_score": 0.816,
                    "Non0_F1_score": 0.844,
                },
            },
        },
        {
            "name": "M, A, T",
            "method": "sugrm",
            "options": {
                "tasks": (
                    "m",
                    "a",
                    "t",
                )
            },
            "needs": (
                "audio",
                "text",
            ),
            "paper": {
                "mosi": {
                    "MAE": 0.804,
                    "Corr": 0.762,
                    "Has0_acc_2": 0.827,
                    "Non0_acc_2": 0.842,
                    "Has0_F1_score": 0.827,
                    "Non0_F1_score": 0.842,
                },
                "mosei": {
                    "MAE": 0.535,
                    "Corr": 0.752,
                    "Has0_acc_2": 0.828,
                    "Non0_acc_2": 0.848,
                    "Has0_F1_score": 0.829,
                    "Non0_F1_score": 0.845,
                },
            },
        },
        {
            "name": "M, V, T",
            "method": "sugrm",
            "options": {
                "tasks": (
                    "m",
                    "v",
                    "t",
                )
            },
            "needs": (
                "vision",
                "text",
            ),
            "paper": {
                "mosi": {
                    "MAE": 0.748,
                    "Corr": 0.778,
                    "Has0_acc_2": 0.835,
                    "Non0_acc_2": 0.846,
                    "Has0_F1_score": 0.836,
                    "Non0_F1_score": 0.847,
                },
                "mosei": {
                    "MAE": 0.540,
                    "Corr": 0.748,
                    "Has0_acc_2": 0.834,
                    "Non0_acc_2": 0.834,
                    "Has0_F1_score": 0.829,
                    "Non0_F1_score": 0.827,
                },
            },
        },
        {
            "name": "M, T, A, V",
            "method": "sugrm",
            "options": {
                "tasks": (
                    "m",
                    "t",
                    "a",
                    "v",
                )
            },
            "needs": (
                "text",
                "audio",
                "vision",
            ),
            "paper": {
                "mosi": {
                    "MAE": 0.703,
                    "Corr": 0.800,
                    "Has0_acc_2": 0.844,
                    "Non0_acc_2": 0.863,
                    "Has0_F1_score": 0.843,
                    "Non0_F1_score": 0.863,
                },
                "mosei": {
                    "MAE": 0.544,
                    "Corr": 0.748,
                    "Has0_acc_2": 0.837,
                    "Non0_acc_2": 0.844,
                    "Has0_F1_score": 0.836,
                    "Non0_F1_score": 0.840,
                },
            },
        },
    ),
}
