"""SUGRM, Table 8: the loss of all tasks.

    msa-jax reproduce sugrm.table8 --data MOSI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased

What the paper shows. On unaligned MOSI L1 is far ahead: MAE 0.703, against 0.832 with L2 and 0.818 with Huber.

Hardware. The paper trains on one TITAN Xp; it states no training time. Cost: three variants x seeds.

Caveats. The number of runs is not stated, nor whether hyper-parameters were chosen anew for each loss: 1e-2 is L1's.
The threshold of the Huber loss is not stated; 1 here. Early stopping is by mean absolute error in every row.
"""

STUDY = {
    "title": "SUGRM, loss functions",
    "kind": "table",
    "paper": "Hwang and Kim, Findings of EACL 2023, Table 8",
    "datasets": {
        "mosi": {"text_encoder": "bert-base-uncased", "rows": (1284, 229, 686), "aligned": False},
    },
    "columns": "Has0_F1_score/Non0_F1_score Has0_acc_2/Non0_acc_2 MAE Corr",
    "rows": """
        L1 loss    | 84.3/86.3 84.4/86.3 0.703 0.800
        L2 loss    | 80.8/81.0 80.8/81.0 0.832 0.737
        Huber loss | 78.1/79.2 78.2/79.2 0.818 0.744
    """,
    "base": {"method": "sugrm"},
    "variants": (
        {"name": "L1 loss", "options": {"loss": "l1"}},
        {"name": "L2 loss", "options": {"loss": "l2"}},
        {"name": "Huber loss", "options": {"loss": "huber"}},
    ),
}
