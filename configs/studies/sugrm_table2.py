"""SUGRM, Table 2: results on unaligned MOSI and MOSEI.

    msa-jax reproduce sugrm.table2 --data MOSI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased
    msa-jax reproduce sugrm.table2 --data MOSEI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased

What the paper shows. SUGRM against Self-MM and six other methods, on audio and vision at their own rates: MOSI MAE 0.703
against 0.733 of Self-MM; MOSEI 0.544 against 0.530, where Self-MM is better in MAE, Corr and both non0 columns.

What is run here. SUGRM and Self-MM, each with its own preset for the dataset. All other rows are the paper's numbers
alone.

Hardware. The paper trains on one TITAN Xp; it states no training time, but 0.775 s for inference on MOSI against 0.378 s
of Self-MM (mean of 10 runs). Cost: two variants x seeds.

Caveats. The number of runs behind a number is not stated. Self-MM's numbers are not those of its own paper (0.713 on
MOSI). +CTC: alignment by connectionist temporal classification. What the paper prints as "-" is left out. The text
encoder is called "pretrained BERT"; the authors' code takes bert-base-uncased. For the authors' code on both sides:
--preset sugrm_mosi_reference,self_mm_mosi_reference.
"""

STUDY = {
    "title": "SUGRM, results on unaligned data",
    "kind": "table",
    "paper": "Hwang and Kim, Findings of EACL 2023, Table 2",
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
            "name": "SUGRM",
            "method": "sugrm",
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
        {
            "name": "Self-MM",
            "method": "self_mm",
            "paper": {
                "mosi": {
                    "MAE": 0.733,
                    "Corr": 0.780,
                    "Has0_acc_2": 0.829,
                    "Non0_acc_2": 0.846,
                    "Has0_F1_score": 0.828,
                    "Non0_F1_score": 0.846,
                },
                "mosei": {
                    "MAE": 0.530,
                    "Corr": 0.765,
                    "Has0_acc_2": 0.817,
                    "Non0_acc_2": 0.847,
                    "Has0_F1_score": 0.820,
                    "Non0_F1_score": 0.846,
                },
            },
        },
    ),
    "context": (
        {
            "name": "EF-LSTM+CTC",
            "paper": {
                "mosi": {"MAE": 1.078, "Corr": 0.542, "Non0_acc_2": 0.736, "Non0_F1_score": 0.745},
                "mosei": {"MAE": 0.680, "Corr": 0.585, "Non0_acc_2": 0.761, "Non0_F1_score": 0.759},
            },
        },
        {
            "name": "LF-LSTM",
            "paper": {
                "mosi": {"MAE": 0.988, "Corr": 0.624, "Non0_acc_2": 0.776, "Non0_F1_score": 0.778},
                "mosei": {"MAE": 0.624, "Corr": 0.656, "Non0_acc_2": 0.775, "Non0_F1_score": 0.782},
            },
        },
        {
            "name": "RAVEN+CTC",
            "paper": {
                "mosi": {"MAE": 1.076, "Corr": 0.544, "Non0_acc_2": 0.727, "Non0_F1_score": 0.731},
                "mosei": {"MAE": 0.664, "Corr": 0.599, "Non0_acc_2": 0.754, "Non0_F1_score": 0.757},
            },
        },
        {
            "name": "MCTN+CTC",
            "paper": {
                "mosi": {"MAE": 0.991, "Corr": 0.613, "Non0_acc_2": 0.759, "Non0_F1_score": 0.764},
                "mosei": {"MAE": 0.631, "Corr": 0.645, "Non0_acc_2": 0.793, "Non0_F1_score": 0.797},
            },
        },
        {
            "name": "MulT",
            "paper": {
                "mosi": {"MAE": 0.889, "Corr": 0.686, "Non0_acc_2": 0.811, "Non0_F1_score": 0.810},
                "mosei": {"MAE": 0.591, "Corr": 0.694, "Non0_acc_2": 0.816, "Non0_F1_score": 0.816},
            },
        },
        {
            "name": "SPT",
            "paper": {
                "mosi": {"Non0_acc_2": 0.812, "Non0_F1_score": 0.813},
                "mosei": {"Non0_acc_2": 0.824, "Non0_F1_score": 0.827},
            },
        },
    ),
    "notes": ("Rows whose only source is the paper were not run here.",),
}
