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
    "datasets": {
        "mosi": {"text_encoder": "bert-base-uncased", "rows": (1284, 229, 686)},
    },
    "columns": "MAE Corr Has0_acc_2/Non0_acc_2 Has0_F1_score/Non0_F1_score",
    "rows": """
        M          | 0.730 0.781 82.38/83.67 82.48/83.70
        M, V       | 0.732 0.775 82.67/83.52 82.76/83.55
        M, A       | 0.728 0.790 82.80/84.76 82.85/84.75
        M, T       | 0.731 0.789 82.65/84.15 82.66/84.10
        M, A, V    | 0.719 0.789 82.94/84.76 83.05/84.81
        M, T, V    | 0.714 0.797 84.26/85.91 84.33/86.00
        M, T, A    | 0.712 0.797 83.67/85.06 83.72/85.06
        M, T, A, V | 0.713 0.798 84.00/85.98 84.42/85.95
    """,
    "base": {"method": "self_mm"},
    "variants": (
        {"name": "M", "options": {"tasks": ("m",)}},
        {"name": "M, V", "options": {"tasks": ("m", "v")}, "needs": ("vision",)},
        {"name": "M, A", "options": {"tasks": ("m", "a")}, "needs": ("audio",)},
        {"name": "M, T", "options": {"tasks": ("m", "t")}, "needs": ("text",)},
        {"name": "M, A, V", "options": {"tasks": ("m", "a", "v")}, "needs": ("audio", "vision")},
        {"name": "M, T, V", "options": {"tasks": ("m", "t", "v")}, "needs": ("text", "vision")},
        {"name": "M, T, A", "options": {"tasks": ("m", "t", "a")}, "needs": ("text", "audio")},
        {"name": "M, T, A, V", "options": {"tasks": ("m", "t", "a", "v")}, "needs": ("text", "audio", "vision")},
    ),
}
