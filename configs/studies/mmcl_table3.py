"""MMCL, Table 3: results on unaligned MOSI and MOSEI.

    msa-jax reproduce mmcl.table3 --data MOSI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased --preset mmcl_mosi_unaligned
    msa-jax reproduce mmcl.table3 --data MOSEI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased --preset mmcl_mosei_unaligned

What the paper shows. Mean of five runs on audio and vision at their own rates: MOSI MAE 0.692 against 0.722 of Self-MM and
0.726 of MMIM, MOSEI 0.538 against 0.540 of Self-MM. MMCL is the best in every column that can be read.

What is run here. MMCL, MulT, Self-MM, MISA and MMIM, and the floor: the same BERT on the text alone.

Hardware. The paper trains on one GTX 1080 Ti and states no training time. Cost: six variants x seeds.

Caveats. Of MulT's row only Acc-2 on MOSI can be read in the text of the paper. How
sequences of other lengths meet the text is not stated; here they are averaged to its length. The frames make the
Transformers slow on a CPU: --max-steps 100 averages them before. Acc-2 and F1 are printed as has0/non0.
"""

STUDY = {
    "title": "MMCL, results on unaligned data",
    "kind": "table",
    "paper": "Lin and Hu, Findings of EMNLP 2022, Table 3",
    "datasets": {
        "mosi": {"text_encoder": "bert-base-uncased", "rows": (1284, 229, 686), "aligned": False},
        "mosei": {"text_encoder": "bert-base-uncased", "rows": (16326, 1871, 4659), "aligned": False},
    },
    "columns": "Mult_acc_7 Has0_acc_2/Non0_acc_2 Has0_F1_score/Non0_F1_score MAE Corr",
    "rows": """
        MMCL    | 46.8 83.8/85.8 83.7/85.7 0.692 0.800 | 53.4 84.5/85.7 84.6/85.6 0.538 0.765
        Self-MM | 45.9 82.6/84.9 82.5/84.8 0.722 0.789 | 53.1 82.2/84.9 82.4/85.0 0.540 0.760 | re-run
        MulT    | - 78.8/80.2 -/- - -                  | -                                    | re-run
        MISA    | 43.6 81.6/83.7 81.5/83.6 0.752 0.779 | 52.0 81.1/84.3 81.6/84.4 0.554 0.753 | re-run
        MMIM    | 45.5 82.6/85.0 82.5/84.9 0.726 0.786 | 53.2 82.2/85.1 82.6/85.0 0.544 0.756 | re-run
    """,
    "variants": (
        {"name": "MMCL", "method": "mmcl"},
        {"name": "Self-MM", "method": "self_mm"},
        {"name": "text only", "method": "text_only"},
        {"name": "MulT", "method": "mult"},
        {"name": "MISA", "method": "misa"},
        {"name": "MMIM", "method": "mmim"},
    ),
    "notes": (
        "Of the paper's row of MulT, only Acc-2 on MOSI can be read.",
        "text only is the floor: a text encoder and a linear layer, without audio, vision and contrasts.",
    ),
}
