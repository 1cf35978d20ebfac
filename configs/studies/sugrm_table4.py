"""SUGRM, Table 4: what each module brings, in SUGRM and in Self-MM.

    msa-jax reproduce sugrm.table4 --data MOSI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased
    msa-jax reproduce sugrm.table4 --data MOSEI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased

What the paper shows. First half: parts of SUGRM put into Self-MM, one at a time. The Modality Recalibration Module (MRM)
in front of its encoders, the Sparse Phased Transformer (SPT) for its LSTMs, the label generation (ULGM) of SUGRM for its
own. Second half: SUGRM without MRM, with a plain Transformer (TE) or LSTMs for the SPT, with the label generation of
Self-MM. On MOSI every step from Self-MM to SUGRM but the SPT lowers MAE, and every step back raises it.

What is run here. All nine. Rows of the second half are compared with SUGRM, all others with Self-MM.

Hardware. The paper trains on one TITAN Xp; it states no training time. Cost: nine variants x seeds.

Caveats. The number of runs behind a number is not stated. One cell cannot be read: F1 of SUGRM with the ULGM of Self-MM
on MOSEI over all rows, printed as "0.79.5", is left out. How the parts were fitted into Self-MM is not stated. Here MRM
gates what its encoders read, and [CLS]; the SPT reads all three sequences and gives audio and vision their states; the
ULGM of SUGRM needs one feature space, so all features are 32 wide, as SUGRM's are. TE and LSTM are as wide as the SPT. TE is
cited as that of MulT, which has cross attention; here it is a Transformer for each sequence by itself. Inside Self-MM the SPT
learns at the rate of "other", 1e-3, where SUGRM has 5e-4, and under `--protocol reference` it keeps shifts, dropout of
attention and masked padding, which SUGRM's then has not.
In Self-MM the SPT has SUGRM's sizes for MOSI; on MOSEI add --spt.heads 4 --spt.attention-dropout 0.1
--spt.relu-dropout 0.1 --spt.residual-dropout 0.1 --spt.embed-dropout 0.2, which SUGRM's preset has anyway.
"""

STUDY = {
    "title": "SUGRM, what each module brings, in it and in Self-MM",
    "kind": "table",
    "paper": "Hwang and Kim, Findings of EACL 2023, Table 4",
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
            "name": "Self-MM",
            "method": "self_mm",
            "options": {"label_generation": "self_mm", "recalibration": False, "encoder": "lstm"},
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
        {
            "name": "Self-MM, with MRM",
            "method": "self_mm",
            "options": {"label_generation": "self_mm", "recalibration": True, "encoder": "lstm"},
            "paper": {
                "mosi": {
                    "MAE": 0.718,
                    "Corr": 0.791,
                    "Has0_acc_2": 0.825,
                    "Non0_acc_2": 0.842,
                    "Has0_F1_score": 0.824,
                    "Non0_F1_score": 0.841,
                },
                "mosei": {
                    "MAE": 0.542,
                    "Corr": 0.756,
                    "Has0_acc_2": 0.833,
                    "Non0_acc_2": 0.851,
                    "Has0_F1_score": 0.835,
                    "Non0_F1_score": 0.850,
                },
            },
        },
        {
            "name": "Self-MM, SPT for LSTM",
            "method": "self_mm",
            "options": {"label_generation": "self_mm", "recalibration": False, "encoder": "spt"},
            "paper": {
                "mosi": {
                    "MAE": 0.735,
                    "Corr": 0.785,
                    "Has0_acc_2": 0.828,
                    "Non0_acc_2": 0.843,
                    "Has0_F1_score": 0.828,
                    "Non0_F1_score": 0.843,
                },
                "mosei": {
                    "MAE": 0.534,
                    "Corr": 0.771,
                    "Has0_acc_2": 0.823,
                    "Non0_acc_2": 0.857,
                    "Has0_F1_score": 0.827,
                    "Non0_F1_score": 0.856,
                },
            },
        },
        {
            "name": "Self-MM, ULGM of SUGRM",
            "method": "self_mm",
            "options": {
                "label_generation": "sugrm",
                "recalibration": False,
                "encoder": "lstm",
                "feature_size.m": 32,
                "feature_size.t": 32,
                "feature_size.a": 32,
                "feature_size.v": 32,
            },
            "paper": {
                "mosi": {
                    "MAE": 0.710,
                    "Corr": 0.790,
                    "Has0_acc_2": 0.837,
                    "Non0_acc_2": 0.857,
                    "Has0_F1_score": 0.835,
                    "Non0_F1_score": 0.856,
                },
                "mosei": {
                    "MAE": 0.538,
                    "Corr": 0.757,
                    "Has0_acc_2": 0.827,
                    "Non0_acc_2": 0.853,
                    "Has0_F1_score": 0.830,
                    "Non0_F1_score": 0.853,
                },
            },
        },
        {
            "name": "SUGRM",
            "method": "sugrm",
            "options": {"label_generation": "sugrm", "recalibration": True, "encoder": "spt"},
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
            "name": "SUGRM, without MRM",
            "method": "sugrm",
            "options": {"label_generation": "sugrm", "recalibration": False, "encoder": "spt"},
            "baseline": "SUGRM",
            "paper": {
                "mosi": {
                    "MAE": 0.761,
                    "Corr": 0.767,
                    "Has0_acc_2": 0.815,
                    "Non0_acc_2": 0.828,
                    "Has0_F1_score": 0.815,
                    "Non0_F1_score": 0.829,
                },
                "mosei": {
                    "MAE": 0.541,
                    "Corr": 0.746,
                    "Has0_acc_2": 0.785,
                    "Non0_acc_2": 0.834,
                    "Has0_F1_score": 0.792,
                    "Non0_F1_score": 0.834,
                },
            },
        },
        {
            "name": "SUGRM, TE for SPT",
            "method": "sugrm",
            "options": {"label_generation": "sugrm", "recalibration": True, "encoder": "transformer"},
            "baseline": "SUGRM",
            "paper": {
                "mosi": {
                    "MAE": 0.720,
                    "Corr": 0.802,
                    "Has0_acc_2": 0.841,
                    "Non0_acc_2": 0.855,
                    "Has0_F1_score": 0.842,
                    "Non0_F1_score": 0.856,
                },
                "mosei": {
                    "MAE": 0.553,
                    "Corr": 0.750,
                    "Has0_acc_2": 0.838,
                    "Non0_acc_2": 0.828,
                    "Has0_F1_score": 0.821,
                    "Non0_F1_score": 0.819,
                },
            },
        },
        {
            "name": "SUGRM, LSTM for SPT",
            "method": "sugrm",
            "options": {"label_generation": "sugrm", "recalibration": True, "encoder": "lstm"},
            "baseline": "SUGRM",
            "paper": {
                "mosi": {
                    "MAE": 0.801,
                    "Corr": 0.740,
                    "Has0_acc_2": 0.795,
                    "Non0_acc_2": 0.819,
                    "Has0_F1_score": 0.792,
                    "Non0_F1_score": 0.817,
                },
                "mosei": {
                    "MAE": 0.556,
                    "Corr": 0.744,
                    "Has0_acc_2": 0.765,
                    "Non0_acc_2": 0.820,
                    "Has0_F1_score": 0.773,
                    "Non0_F1_score": 0.821,
                },
            },
        },
        {
            "name": "SUGRM, ULGM of Self-MM",
            "method": "sugrm",
            "options": {"label_generation": "self_mm", "recalibration": True, "encoder": "spt"},
            "baseline": "SUGRM",
            "paper": {
                "mosi": {
                    "MAE": 0.726,
                    "Corr": 0.797,
                    "Has0_acc_2": 0.821,
                    "Non0_acc_2": 0.832,
                    "Has0_F1_score": 0.821,
                    "Non0_F1_score": 0.833,
                },
                "mosei": {
                    "MAE": 0.541,
                    "Corr": 0.756,
                    "Has0_acc_2": 0.788,
                    "Non0_acc_2": 0.840,
                    "Non0_F1_score": 0.841,
                },
            },
        },
    ),
}
