"""SUGRM, Table 3: which unimodal tasks help.

    msa-jax reproduce sugrm.table3 --data MOSI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased
    msa-jax reproduce sugrm.table3 --data MOSEI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased

What the paper shows. On MOSI, by MAE, one unimodal task makes the multimodal task worse, two help except M, A, T, and three
help most (0.755 -> 0.703). By Acc-2 and F1 M, A, T helps as well (84.2 after 84.0, non0), and by Corr M, V, T does not (0.778
after 0.779). On MOSEI all three together have the largest MAE of the table (0.544; M alone 0.539) and
the best F1 and Acc-2 has0.

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
    "columns": "Has0_F1_score/Non0_F1_score Has0_acc_2/Non0_acc_2 MAE Corr",
    "rows": """
        M          | 82.5/84.1 82.5/84.0 0.755 0.779 | 81.5/84.7 80.9/84.7 0.539 0.759
        M, V       | 81.1/82.1 81.1/82.0 0.774 0.757 | 79.5/83.7 78.9/83.6 0.543 0.752
        M, A       | 81.9/83.6 81.9/83.5 0.764 0.770 | 82.7/85.2 82.4/85.3 0.532 0.763
        M, T       | 81.0/81.5 80.9/81.4 0.773 0.779 | 80.8/83.7 80.4/83.8 0.530 0.763
        M, A, V    | 83.6/85.0 83.5/84.9 0.731 0.782 | 81.6/84.4 83.3/84.6 0.533 0.757
        M, A, T    | 82.7/84.2 82.7/84.2 0.804 0.762 | 82.9/84.5 82.8/84.8 0.535 0.752
        M, V, T    | 83.6/84.7 83.5/84.6 0.748 0.778 | 82.9/82.7 83.4/83.4 0.540 0.748
        M, T, A, V | 84.3/86.3 84.4/86.3 0.703 0.800 | 83.6/84.0 83.7/84.4 0.544 0.748
    """,
    "base": {"method": "sugrm"},
    "variants": (
        {"name": "M", "options": {"tasks": ("m",)}},
        {"name": "M, V", "options": {"tasks": ("m", "v")}, "needs": ("vision",)},
        {"name": "M, A", "options": {"tasks": ("m", "a")}, "needs": ("audio",)},
        {"name": "M, T", "options": {"tasks": ("m", "t")}, "needs": ("text",)},
        {"name": "M, A, V", "options": {"tasks": ("m", "a", "v")}, "needs": ("audio", "vision")},
        {"name": "M, A, T", "options": {"tasks": ("m", "a", "t")}, "needs": ("audio", "text")},
        {"name": "M, V, T", "options": {"tasks": ("m", "v", "t")}, "needs": ("vision", "text")},
        {"name": "M, T, A, V", "options": {"tasks": ("m", "t", "a", "v")}, "needs": ("text", "audio", "vision")},
    ),
}
