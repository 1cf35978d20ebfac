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
            "name": "L1 loss",
            "method": "sugrm",
            "options": {"loss": "l1"},
            "paper": {
                "mosi": {
                    "MAE": 0.703,
                    "Corr": 0.800,
                    "Has0_acc_2": 0.844,
                    "Non0_acc_2": 0.863,
                    "Has0_F1_score": 0.843,
                    "Non0_F1_score": 0.863,
                }
            },
        },
        {
            "name": "L2 loss",
            "method": "sugrm",
            "options": {"loss": "l2"},
            "paper": {
                "mosi": {
                    "MAE": 0.832,
                    "Corr": 0.737,
                    "Has0_acc_2": 0.808,
                    "Non0_acc_2": 0.810,
                    "Has0_F1_score": 0.808,
                    "Non0_F1_score": 0.810,
                }
            },
        },
        {
            "name": "Huber loss",
            "method": "sugrm",
            "options": {"loss": "huber"},
            "paper": {
                "mosi": {
                    "MAE": 0.818,
                    "Corr": 0.744,
                    "Has0_acc_2": 0.782,
                    "Non0_acc_2": 0.792,
                    "Has0_F1_score": 0.781,
                    "Non0_F1_score": 0.792,
                }
            },
        },
    ),
}
