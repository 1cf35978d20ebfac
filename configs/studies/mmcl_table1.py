"""MMCL, Table 1: results on token-aligned MOSI and MOSEI.

    msa-jax reproduce mmcl.table1 --data MOSI/Processed/aligned_50.pkl --text-encoder bert-base-uncased
    msa-jax reproduce mmcl.table1 --data MOSEI/Processed/aligned_50.pkl --text-encoder bert-base-uncased

What the paper shows. Mean of five runs, against nine methods that the authors ran again with the same BERT: MOSI MAE 0.705
against 0.731 of Self-MM, MOSEI 0.537 against 0.540. MMCL is the best in every column.

What is run here. MMCL and Self-MM, each with its own preset for the dataset, and the floor: the same BERT on the text
alone, which the paper does not have. All other rows are the paper's numbers alone.

Hardware. The paper trains on one GTX 1080 Ti and states no training time. Cost: three variants x seeds.

Caveats. The baselines are the authors' reruns; Self-MM's own paper has MOSI MAE 0.713 and MOSEI 0.530, the latter better than
MMCL here, on unaligned data. TFN and LMF are unaligned. Of MMCL's best model beta, gamma, temperature and dropout are not
stated; the presets say what is taken. Acc-2 and F1 are printed as has0/non0.
"""

STUDY = {
    "title": "MMCL, results on aligned data",
    "kind": "table",
    "paper": "Lin and Hu, Findings of EMNLP 2022, Table 1",
    "datasets": {
        "mosi": {"text_encoder": "bert-base-uncased", "rows": (1284, 229, 686), "aligned": True},
        "mosei": {"text_encoder": "bert-base-uncased", "rows": (16326, 1871, 4659), "aligned": True},
    },
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
            "paper": {
                "mosi": {
                    "Mult_acc_7": 0.465,
                    "Has0_acc_2": 0.840,
                    "Non0_acc_2": 0.863,
                    "Has0_F1_score": 0.838,
                    "Non0_F1_score": 0.862,
                    "MAE": 0.705,
                    "Corr": 0.797,
                },
                "mosei": {
                    "Mult_acc_7": 0.536,
                    "Has0_acc_2": 0.848,
                    "Non0_acc_2": 0.859,
                    "Has0_F1_score": 0.848,
                    "Non0_F1_score": 0.857,
                    "MAE": 0.537,
                    "Corr": 0.765,
                },
            },
        },
        {
            "name": "Self-MM",
            "method": "self_mm",
            "paper": {
                "mosi": {
                    "Mult_acc_7": 0.458,
                    "Has0_acc_2": 0.827,
                    "Non0_acc_2": 0.849,
                    "Has0_F1_score": 0.826,
                    "Non0_F1_score": 0.848,
                    "MAE": 0.731,
                    "Corr": 0.785,
                },
                "mosei": {
                    "Mult_acc_7": 0.530,
                    "Has0_acc_2": 0.826,
                    "Non0_acc_2": 0.852,
                    "Has0_F1_score": 0.828,
                    "Non0_F1_score": 0.852,
                    "MAE": 0.540,
                    "Corr": 0.763,
                },
            },
        },
        {"name": "text only", "method": "text_only"},
    ),
    "context": (
        {
            "name": "TFN, unaligned",
            "paper": {
                "mosi": {
                    "Mult_acc_7": 0.337,
                    "Has0_acc_2": 0.783,
                    "Non0_acc_2": 0.802,
                    "Has0_F1_score": 0.782,
                    "Non0_F1_score": 0.801,
                    "MAE": 0.925,
                    "Corr": 0.662,
                },
                "mosei": {
                    "Mult_acc_7": 0.522,
                    "Has0_acc_2": 0.810,
                    "Non0_acc_2": 0.826,
                    "Has0_F1_score": 0.811,
                    "Non0_F1_score": 0.823,
                    "MAE": 0.570,
                    "Corr": 0.716,
                },
            },
        },
        {
            "name": "LMF, unaligned",
            "paper": {
                "mosi": {
                    "Mult_acc_7": 0.327,
                    "Has0_acc_2": 0.775,
                    "Non0_acc_2": 0.801,
                    "Has0_F1_score": 0.773,
                    "Non0_F1_score": 0.800,
                    "MAE": 0.931,
                    "Corr": 0.670,
                },
                "mosei": {
                    "Mult_acc_7": 0.520,
                    "Has0_acc_2": 0.813,
                    "Non0_acc_2": 0.837,
                    "Has0_F1_score": 0.816,
                    "Non0_F1_score": 0.838,
                    "MAE": 0.568,
                    "Corr": 0.727,
                },
            },
        },
        {
            "name": "MFN",
            "paper": {
                "mosi": {
                    "Mult_acc_7": 0.342,
                    "Has0_acc_2": 0.779,
                    "Non0_acc_2": 0.800,
                    "Has0_F1_score": 0.778,
                    "Non0_F1_score": 0.800,
                    "MAE": 0.951,
                    "Corr": 0.665,
                },
                "mosei": {
                    "Mult_acc_7": 0.511,
                    "Has0_acc_2": 0.818,
                    "Non0_acc_2": 0.840,
                    "Has0_F1_score": 0.819,
                    "Non0_F1_score": 0.839,
                    "MAE": 0.575,
                    "Corr": 0.720,
                },
            },
        },
        {
            "name": "MFM",
            "paper": {
                "mosi": {
                    "Mult_acc_7": 0.333,
                    "Has0_acc_2": 0.777,
                    "Non0_acc_2": 0.800,
                    "Has0_F1_score": 0.777,
                    "Non0_F1_score": 0.801,
                    "MAE": 0.948,
                    "Corr": 0.664,
                },
                "mosei": {
                    "Mult_acc_7": 0.508,
                    "Has0_acc_2": 0.803,
                    "Non0_acc_2": 0.834,
                    "Has0_F1_score": 0.807,
                    "Non0_F1_score": 0.834,
                    "MAE": 0.580,
                    "Corr": 0.722,
                },
            },
        },
        {
            "name": "MulT",
            "paper": {
                "mosi": {
                    "Mult_acc_7": 0.350,
                    "Has0_acc_2": 0.790,
                    "Non0_acc_2": 0.805,
                    "Has0_F1_score": 0.790,
                    "Non0_F1_score": 0.805,
                    "MAE": 0.918,
                    "Corr": 0.685,
                },
                "mosei": {
                    "Mult_acc_7": 0.521,
                    "Has0_acc_2": 0.813,
                    "Non0_acc_2": 0.840,
                    "Has0_F1_score": 0.816,
                    "Non0_F1_score": 0.839,
                    "MAE": 0.564,
                    "Corr": 0.732,
                },
            },
        },
        {
            "name": "MISA",
            "paper": {
                "mosi": {
                    "Mult_acc_7": 0.435,
                    "Has0_acc_2": 0.818,
                    "Non0_acc_2": 0.835,
                    "Has0_F1_score": 0.817,
                    "Non0_F1_score": 0.835,
                    "MAE": 0.752,
                    "Corr": 0.784,
                },
                "mosei": {
                    "Mult_acc_7": 0.522,
                    "Has0_acc_2": 0.816,
                    "Non0_acc_2": 0.843,
                    "Has0_F1_score": 0.820,
                    "Non0_F1_score": 0.843,
                    "MAE": 0.550,
                    "Corr": 0.758,
                },
            },
        },
        {
            "name": "MAG-BERT",
            "paper": {
                "mosi": {
                    "Mult_acc_7": 0.451,
                    "Has0_acc_2": 0.824,
                    "Non0_acc_2": 0.846,
                    "Has0_F1_score": 0.822,
                    "Non0_F1_score": 0.846,
                    "MAE": 0.730,
                    "Corr": 0.789,
                },
                "mosei": {
                    "Mult_acc_7": 0.528,
                    "Has0_acc_2": 0.819,
                    "Non0_acc_2": 0.851,
                    "Has0_F1_score": 0.823,
                    "Non0_F1_score": 0.851,
                    "MAE": 0.558,
                    "Corr": 0.761,
                },
            },
        },
        {
            "name": "MMIM",
            "paper": {
                "mosi": {
                    "Mult_acc_7": 0.450,
                    "Has0_acc_2": 0.830,
                    "Non0_acc_2": 0.851,
                    "Has0_F1_score": 0.829,
                    "Non0_F1_score": 0.850,
                    "MAE": 0.738,
                    "Corr": 0.781,
                },
                "mosei": {
                    "Mult_acc_7": 0.531,
                    "Has0_acc_2": 0.819,
                    "Non0_acc_2": 0.851,
                    "Has0_F1_score": 0.823,
                    "Non0_F1_score": 0.850,
                    "MAE": 0.547,
                    "Corr": 0.752,
                },
            },
        },
    ),
    "notes": (
        "Rows whose only source is the paper were not run here. All baselines are reruns by its authors.",
        "text only is the floor: a text encoder and a linear layer, without audio, vision and contrasts.",
    ),
}
