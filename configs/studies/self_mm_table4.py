"""Self-MM, Table 4: which unimodal tasks help.

    msa-jax reproduce self_mm.table4 --data MOSI.pkl --text-encoder bert-base-uncased

What the paper shows. On MOSI, mean of 5 runs: two or three unimodal tasks have a smaller MAE than the multimodal task
alone (0.730 -> 0.713 with all three); of single ones "A" has (0.728), "T" and "V" have not (0.731, 0.732). By Corr all but
"V" are better. The differences are 0.001 to 0.018 MAE, the spread over seeds is about 0.01: read the paired differences,
not the ranking.

Hardware and time are not stated by the paper. Cost: eight variants x seeds.

Caveats. The column that the paper heads "MSE" holds the values that its Table 1 calls MAE (0.713, M, T, A, V), and
is read so. Acc-2 and F1 are printed as negative/non-negative / negative/positive. On a dataset without a modality,
the variants with that modality's task would equal others, and are left out.
"""

STUDY = {
    "title": "Self-MM, which unimodal tasks help",
    "kind": "table",
    "paper": "Yu et al., AAAI 2021, Table 4",
    "datasets": {"mosi": {"text_encoder": "bert-base-uncased", "rows": (1284, 229, 686)}},
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
            "method": "self_mm",
            "options": {"tasks": ("m",)},
            "paper": {
                "mosi": {
                    "MAE": 0.730,
                    "Corr": 0.781,
                    "Has0_acc_2": 0.8238,
                    "Non0_acc_2": 0.8367,
                    "Has0_F1_score": 0.8248,
                    "Non0_F1_score": 0.8370,
                }
            },
        },
        {
            "name": "M, V",
            "method": "self_mm",
            "options": {"tasks": ("m", "v")},
            "needs": ("vision",),
            "paper": {
                "mosi": {
                    "MAE": 0.732,
                    "Corr": 0.775,
                    "Has0_acc_2": 0.8267,
                    "Non0_acc_2": 0.8352,
                    "Has0_F1_score": 0.8276,
                    "Non0_F1_score": 0.8355,
                }
            },
        },
        {
            "name": "M, A",
            "method": "self_mm",
            "options": {"tasks": ("m", "a")},
            "needs": ("audio",),
            "paper": {
                "mosi": {
                    "MAE": 0.728,
                    "Corr": 0.790,
                    "Has0_acc_2": 0.8280,
                    "Non0_acc_2": 0.8476,
                    "Has0_F1_score": 0.8285,
                    "Non0_F1_score": 0.8475,
                }
            },
        },
        {
            "name": "M, T",
            "method": "self_mm",
            "options": {"tasks": ("m", "t")},
            "needs": ("text",),
            "paper": {
                "mosi": {
                    "MAE": 0.731,
                    "Corr": 0.789,
                    "Has0_acc_2": 0.8265,
                    "Non0_acc_2": 0.8415,
                    "Has0_F1_score": 0.8266,
                    "Non0_F1_score": 0.8410,
                }
            },
        },
        {
            "name": "M, A, V",
            "method": "self_mm",
            "options": {"tasks": ("m", "a", "v")},
            "needs": ("audio", "vision"),
            "paper": {
                "mosi": {
                    "MAE": 0.719,
                    "Corr": 0.789,
                    "Has0_acc_2": 0.8294,
                    "Non0_acc_2": 0.8476,
                    "Has0_F1_score": 0.8305,
                    "Non0_F1_score": 0.8481,
                }
            },
        },
        {
            "name": "M, T, V",
            "method": "self_mm",
            "options": {"tasks": ("m", "t", "v")},
            "needs": ("text", "vision"),
            "paper": {
                "mosi": {
                    "MAE": 0.714,
                    "Corr": 0.797,
                    "Has0_acc_2": 0.8426,
                    "Non0_acc_2": 0.8591,
                    "Has0_F1_score": 0.8433,
                    "Non0_F1_score": 0.8600,
                }
            },
        },
        {
            "name": "M, T, A",
            "method": "self_mm",
            "options": {"tasks": ("m", "t", "a")},
            "needs": ("text", "audio"),
            "paper": {
                "mosi": {
                    "MAE": 0.712,
                    "Corr": 0.797,
                    "Has0_acc_2": 0.8367,
                    "Non0_acc_2": 0.8506,
                    "Has0_F1_score": 0.8372,
                    "Non0_F1_score": 0.8506,
                }
            },
        },
        {
            "name": "M, T, A, V",
            "method": "self_mm",
            "options": {"tasks": ("m", "t", "a", "v")},
            "needs": ("text", "audio", "vision"),
            "paper": {
                "mosi": {
                    "MAE": 0.713,
                    "Corr": 0.798,
                    "Has0_acc_2": 0.8400,
                    "Non0_acc_2": 0.8598,
                    "Has0_F1_score": 0.8442,
                    "Non0_F1_score": 0.8595,
                }
            },
        },
    ),
}
