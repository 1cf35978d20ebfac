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
and MRM are those of SUGRM in either protocol: the SPT learns at 5e-4, and under `--protocol reference` nothing shifts its
input windows, no attention weight is dropped, and both read padding, for which their rows do not pack the text.
Its weight decay in Self-MM is that of all other parameters. In SUGRM, TE and LSTM learn at the SPT's 5e-4, too.
In Self-MM the SPT has SUGRM's sizes for MOSI; on MOSEI add --spt.heads 4 --spt.attention-dropout 0.1
--spt.relu-dropout 0.1 --spt.residual-dropout 0.1 --spt.embed-dropout 0.2, which SUGRM's preset has anyway. Under
`--protocol reference` leave out the dropout of attention, which would be set for SUGRM's too.
"""

STUDY = {
    "title": "SUGRM, what each module brings, in it and in Self-MM",
    "kind": "table",
    "paper": "Hwang and Kim, Findings of EACL 2023, Table 4",
    "datasets": {
        "mosi": {"text_encoder": "bert-base-uncased", "rows": (1284, 229, 686), "aligned": False},
        "mosei": {"text_encoder": "bert-base-uncased", "rows": (16326, 1871, 4659), "aligned": False},
    },
    "columns": "Has0_F1_score/Non0_F1_score Has0_acc_2/Non0_acc_2 MAE Corr",
    "rows": """
        Self-MM                | 82.8/84.6 82.9/84.6 0.733 0.780 | 82.0/84.6 81.7/84.7 0.530 0.765
        Self-MM, with MRM      | 82.4/84.1 82.5/84.2 0.718 0.791 | 83.5/85.0 83.3/85.1 0.542 0.756
        Self-MM, SPT for LSTM  | 82.8/84.3 82.8/84.3 0.735 0.785 | 82.7/85.6 82.3/85.7 0.534 0.771
        Self-MM, ULGM of SUGRM | 83.5/85.6 83.7/85.7 0.710 0.790 | 83.0/85.3 82.7/85.3 0.538 0.757
        SUGRM                  | 84.3/86.3 84.4/86.3 0.703 0.800 | 83.6/84.0 83.7/84.4 0.544 0.748
        SUGRM, without MRM     | 81.5/82.9 81.5/82.8 0.761 0.767 | 79.2/83.4 78.5/83.4 0.541 0.746
        SUGRM, TE for SPT      | 84.2/85.6 84.1/85.5 0.720 0.802 | 82.1/81.9 83.8/82.8 0.553 0.750
        SUGRM, LSTM for SPT    | 79.2/81.7 79.5/81.9 0.801 0.740 | 77.3/82.1 76.5/82.0 0.556 0.744
        SUGRM, ULGM of Self-MM | 82.1/83.3 82.1/83.2 0.726 0.797 | -/84.1    78.8/84.0 0.541 0.756
    """,
    "variants": (
        {
            "name": "Self-MM",
            "method": "self_mm",
            "options": {"label_generation": "self_mm", "recalibration": False, "encoder": "lstm"},
        },
        {
            "name": "Self-MM, with MRM",
            "method": "self_mm",
            "options": {"label_generation": "self_mm", "recalibration": True, "encoder": "lstm", "pack_text": False},
        },
        {
            "name": "Self-MM, SPT for LSTM",
            "method": "self_mm",
            "options": {"label_generation": "self_mm", "recalibration": False, "encoder": "spt", "pack_text": False},
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
        },
        {
            "name": "SUGRM",
            "method": "sugrm",
            "options": {"label_generation": "sugrm", "recalibration": True, "encoder": "spt"},
        },
        {
            "name": "SUGRM, without MRM",
            "method": "sugrm",
            "options": {"label_generation": "sugrm", "recalibration": False, "encoder": "spt"},
            "baseline": "SUGRM",
        },
        {
            "name": "SUGRM, TE for SPT",
            "method": "sugrm",
            "options": {"label_generation": "sugrm", "recalibration": True, "encoder": "transformer"},
            "baseline": "SUGRM",
        },
        {
            "name": "SUGRM, LSTM for SPT",
            "method": "sugrm",
            "options": {"label_generation": "sugrm", "recalibration": True, "encoder": "lstm"},
            "baseline": "SUGRM",
        },
        {
            "name": "SUGRM, ULGM of Self-MM",
            "method": "sugrm",
            "options": {"label_generation": "self_mm", "recalibration": True, "encoder": "spt"},
            "baseline": "SUGRM",
        },
    ),
}
