"""SUGRM, Table 1: results on aligned MOSI and MOSEI.

    msa-jax reproduce sugrm.table1 --data MOSI/Processed/aligned_50.pkl --text-encoder bert-base-uncased
    msa-jax reproduce sugrm.table1 --data MOSEI/Processed/aligned_50.pkl --text-encoder bert-base-uncased

What the paper shows. SUGRM against Self-MM and eight other methods, on audio and vision that are aligned with the
tokens: MOSI MAE 0.723 against 0.736 of Self-MM; MOSEI 0.541 against 0.533.

What is run here. SUGRM and Self-MM, each with its own preset for the dataset. All other rows are the paper's numbers
alone.

Hardware. The paper trains on one TITAN Xp; it states no training time. Cost: two variants x seeds.

Caveats. The number of runs behind a number is not stated. Self-MM's numbers are not those of its own paper. What the
paper prints as "-" is left out, and so are TFN on MOSEI and MAE and Corr of SPT. The text encoder is called "pretrained
BERT"; the authors' code takes bert-base-uncased. For the authors' code on both sides:
--preset sugrm_mosi_reference,self_mm_mosi_reference.
"""

STUDY = {
    "title": "SUGRM, results on aligned data",
    "kind": "table",
    "paper": "Hwang and Kim, Findings of EACL 2023, Table 1",
    "datasets": {
        "mosi": {"text_encoder": "bert-base-uncased", "rows": (1284, 229, 686), "aligned": True},
        "mosei": {"text_encoder": "bert-base-uncased", "rows": (16326, 1871, 4659), "aligned": True},
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
            "name": "SUGRM",
            "method": "sugrm",
            "paper": {
                "mosi": {
                    "MAE": 0.723,
                    "Corr": 0.798,
                    "Has0_acc_2": 0.828,
                    "Non0_acc_2": 0.845,
                    "Has0_F1_score": 0.828,
                    "Non0_F1_score": 0.845,
                },
                "mosei": {
                    "MAE": 0.541,
                    "Corr": 0.758,
                    "Has0_acc_2": 0.839,
                    "Non0_acc_2": 0.850,
                    "Has0_F1_score": 0.839,
                    "Non0_F1_score": 0.851,
                },
            },
        },
        {
            "name": "Self-MM",
            "method": "self_mm",
            "paper": {
                "mosi": {
                    "MAE": 0.736,
                    "Corr": 0.786,
                    "Has0_acc_2": 0.824,
                    "Non0_acc_2": 0.845,
                    "Has0_F1_score": 0.823,
                    "Non0_F1_score": 0.844,
                },
                "mosei": {
                    "MAE": 0.533,
                    "Corr": 0.766,
                    "Has0_acc_2": 0.829,
                    "Non0_acc_2": 0.848,
                    "Has0_F1_score": 0.832,
                    "Non0_F1_score": 0.850,
                },
            },
        },
    ),
    "context": (
        {
            "name": "EF-LSTM",
            "paper": {
                "mosi": {"MAE": 1.053, "Corr": 0.613, "Non0_acc_2": 0.758, "Non0_F1_score": 0.756},
                "mosei": {"MAE": 0.665, "Corr": 0.621, "Non0_acc_2": 0.791, "Non0_F1_score": 0.788},
            },
        },
        {
            "name": "LF-LSTM",
            "paper": {
                "mosi": {"MAE": 1.037, "Corr": 0.620, "Non0_acc_2": 0.764, "Non0_F1_score": 0.754},
                "mosei": {"MAE": 0.625, "Corr": 0.655, "Non0_acc_2": 0.794, "Non0_F1_score": 0.800},
            },
        },
        {
            "name": "TFN",
            "paper": {
                "mosi": {
                    "MAE": 0.955,
                    "Corr": 0.649,
                    "Has0_acc_2": 0.748,
                    "Non0_acc_2": 0.760,
                    "Has0_F1_score": 0.741,
                    "Non0_F1_score": 0.752,
                }
            },
        },
        {
            "name": "RAVEN",
            "paper": {
                "mosi": {"MAE": 0.915, "Corr": 0.691, "Non0_acc_2": 0.780, "Non0_F1_score": 0.766},
                "mosei": {"MAE": 0.614, "Corr": 0.662, "Non0_acc_2": 0.791, "Non0_F1_score": 0.795},
            },
        },
        {
            "name": "MCTN",
            "paper": {
                "mosi": {"MAE": 0.909, "Corr": 0.676, "Non0_acc_2": 0.793, "Non0_F1_score": 0.791},
                "mosei": {"MAE": 0.609, "Corr": 0.670, "Non0_acc_2": 0.798, "Non0_F1_score": 0.806},
            },
        },
        {
            "name": "MulT",
            "paper": {
                "mosi": {"MAE": 0.871, "Corr": 0.698, "Non0_acc_2": 0.830, "Non0_F1_score": 0.828},
                "mosei": {"MAE": 0.580, "Corr": 0.703, "Non0_acc_2": 0.825, "Non0_F1_score": 0.823},
            },
        },
        {
            "name": "SPT",
            "paper": {
                "mosi": {"Non0_acc_2": 0.828, "Non0_F1_score": 0.829},
                "mosei": {"Non0_acc_2": 0.826, "Non0_F1_score": 0.828},
            },
        },
        {
            "name": "MAG-BERT",
            "paper": {
                "mosi": {
                    "MAE": 0.778,
                    "Corr": 0.766,
                    "Has0_acc_2": 0.825,
                    "Non0_acc_2": 0.840,
                    "Has0_F1_score": 0.824,
                    "Non0_F1_score": 0.840,
                },
                "mosei": {
                    "MAE": 0.567,
                    "Corr": 0.742,
                    "Has0_acc_2": 0.813,
                    "Non0_acc_2": 0.848,
                    "Has0_F1_score": 0.817,
                    "Non0_F1_score": 0.847,
                },
            },
        },
    ),
    "notes": ("Rows whose only source is the paper were not run here.",),
}
