"""SUGRM, Table 1: results on aligned MOSI and MOSEI.

    msa-jax reproduce sugrm.table1 --data MOSI/Processed/aligned_50.pkl --text-encoder bert-base-uncased
    msa-jax reproduce sugrm.table1 --data MOSEI/Processed/aligned_50.pkl --text-encoder bert-base-uncased

What the paper shows. SUGRM against Self-MM and eight other methods, on audio and vision that are aligned with the
tokens: MOSI MAE 0.723 against 0.736 of Self-MM; MOSEI 0.541 against 0.533.

What is run here. All ten, each with its own preset for the dataset, on BERT where the paper copies numbers with GloVe vectors.

Hardware. The paper trains on one TITAN Xp; it states no training time. Cost: ten variants x seeds.

Caveats. The number of runs behind a number is not stated. Self-MM's numbers are not those of its own paper. The text
encoder is called "pretrained
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
    "columns": "Has0_F1_score/Non0_F1_score Has0_acc_2/Non0_acc_2 MAE Corr",
    "rows": """
        SUGRM    | 82.8/84.5 82.8/84.5 0.723 0.798 | 83.9/85.1 83.9/85.0 0.541 0.758
        Self-MM  | 82.3/84.4 82.4/84.5 0.736 0.786 | 83.2/85.0 82.9/84.8 0.533 0.766 | re-run
        EF-LSTM  | -/75.6    -/75.8    1.053 0.613 | -/78.8    -/79.1    0.665 0.621 | not said
        LF-LSTM  | -/75.4    -/76.4    1.037 0.620 | -/80.0    -/79.4    0.625 0.655 | not said
        TFN      | 74.1/75.2 74.8/76.0 0.955 0.649 | -                               | not said
        RAVEN    | -/76.6    -/78.0    0.915 0.691 | -/79.5    -/79.1    0.614 0.662 | copied from RAVEN, GloVe, selected on test
        MCTN     | -/79.1    -/79.3    0.909 0.676 | -/80.6    -/79.8    0.609 0.670 | copied from MCTN, GloVe
        MulT     | -/82.8    -/83.0    0.871 0.698 | -/82.3    -/82.5    0.580 0.703 | copied from MulT, GloVe
        SPT      | -/82.9    -/82.8    -     -     | -/82.8    -/82.6    -     -     | copied from SPT, GloVe
        MAG-BERT | 82.4/84.0 82.5/84.0 0.778 0.766 | 81.7/84.7 81.3/84.8 0.567 0.742 | not said
    """,
    "variants": (
        {"name": "SUGRM", "method": "sugrm"},
        {"name": "Self-MM", "method": "self_mm"},
        {"name": "EF-LSTM", "method": "ef_lstm"},
        {"name": "LF-LSTM", "method": "lf_lstm"},
        {"name": "TFN", "method": "tfn"},
        {"name": "RAVEN", "method": "raven"},
        {"name": "MCTN", "method": "mctn"},
        {"name": "MulT", "method": "mult"},
        {"name": "SPT", "method": "spt"},
        {"name": "MAG-BERT", "method": "mag_bert"},
    ),
}
