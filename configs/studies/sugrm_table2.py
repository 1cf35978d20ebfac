"""SUGRM, Table 2: results on unaligned MOSI and MOSEI.

    msa-jax reproduce sugrm.table2 --data MOSI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased
    msa-jax reproduce sugrm.table2 --data MOSEI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased

What the paper shows. SUGRM against Self-MM and six other methods, on audio and vision at their own rates: MOSI MAE 0.703
against 0.733 of Self-MM; MOSEI 0.544 against 0.530, where Self-MM is better in MAE, Corr and both non0 columns.

What is run here. All eight, each with its own preset for the dataset, on BERT where the paper copies numbers with GloVe vectors.

Hardware. The paper trains on one TITAN Xp; it states no training time, but 0.775 s for inference on MOSI against 0.378 s
of Self-MM (mean of 10 runs). Cost: eight variants x seeds.

Caveats. The number of runs behind a number is not stated. Self-MM's numbers are not those of its own paper (MAE 0.713 on
MOSI), but for MAE and Corr on MOSEI; whether it was run again is not said. +CTC: alignment by connectionist temporal classification. The text
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
    "columns": "Has0_F1_score/Non0_F1_score Has0_acc_2/Non0_acc_2 MAE Corr",
    "rows": """
        SUGRM       | 84.3/86.3 84.4/86.3 0.703 0.800 | 83.6/84.0 83.7/84.4 0.544 0.748
        Self-MM     | 82.8/84.6 82.9/84.6 0.733 0.780 | 82.0/84.6 81.7/84.7 0.530 0.765 | not said
        EF-LSTM+CTC | -/74.5    -/73.6    1.078 0.542 | -/75.9    -/76.1    0.680 0.585 | copied from MulT, GloVe
        LF-LSTM     | -/77.8    -/77.6    0.988 0.624 | -/78.2    -/77.5    0.624 0.656 | copied from MulT, GloVe
        RAVEN+CTC   | -/73.1    -/72.7    1.076 0.544 | -/75.7    -/75.4    0.664 0.599 | copied from MulT, GloVe
        MCTN+CTC    | -/76.4    -/75.9    0.991 0.613 | -/79.7    -/79.3    0.631 0.645 | copied from MulT, GloVe
        MulT        | -/81.0    -/81.1    0.889 0.686 | -/81.6    -/81.6    0.591 0.694 | copied from MulT, GloVe
        SPT         | -/81.3    -/81.2    -     -     | -/82.7    -/82.4    -     -     | copied from SPT, GloVe
    """,
    "variants": (
        {"name": "SUGRM", "method": "sugrm"},
        {"name": "Self-MM", "method": "self_mm"},
        {"name": "EF-LSTM+CTC", "method": "ef_lstm", "options": {"alignment": "ctc"}},
        {"name": "LF-LSTM", "method": "lf_lstm"},
        {"name": "RAVEN+CTC", "method": "raven", "options": {"alignment": "ctc"}},
        {"name": "MCTN+CTC", "method": "mctn", "options": {"alignment": "ctc"}},
        {"name": "MulT", "method": "mult"},
        {"name": "SPT", "method": "spt"},
    ),
}
