"""DMMSA, Table 4: how much training data it needs.

    msa-jax reproduce dmmsa.table4 --data MOSEI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased
    msa-jax reproduce dmmsa.table4 --data synthetic

What the paper shows. On MOSEI with all rows of train, 80, 60, 40, 20 and 10 %: MAE 0.527, 0.532, 0.538, 0.540, 0.551,
0.552. By its words Acc-2 has converged at 60 %, while Acc-7, MAE and Corr go on improving; of Acc-7 this is not so at
60 %.

How it is meant. The rows that are left out are not seen at all, by the encoders neither. Which rows those are is not
said: here they are the same for every seed, stratified by label, and each smaller share is part of the larger (option
train_fraction_seed).

Hardware. The paper trains on one A100 and states no training time. Cost: six variants x seeds, with three pretrained
encoders each.

Caveats. The number of runs is not stated for this table. The epochs stay the same, so that less data is also fewer
steps. Valid and test are always whole. "83,77" of the text is read as 83.77.
"""

STUDY = {
    "title": "DMMSA, shares of the training data",
    "kind": "table",
    "paper": "DMMSA, Applied Sciences 2025, 15(11), 6342, Table 4",
    "datasets": {
        "mosei": {"text_encoder": "bert-base-uncased", "rows": (16326, 1871, 4659), "aligned": False},
    },
    "columns": "Has0_acc_2/Non0_acc_2 Has0_F1_score/Non0_F1_score Mult_acc_7 MAE Corr",
    "rows": """
        100 % | 82.63/86.27 83.04/86.21 53.91 0.527 0.777
        80 %  | 82.41/86.15 82.87/86.14 53.39 0.532 0.772
        60 %  | 83.77/86.12 84.01/85.99 52.77 0.538 0.769
        40 %  | 82.78/86.09 83.16/86.03 53.36 0.540 0.767
        20 %  | 80.68/85.03 81.27/85.06 52.37 0.551 0.760
        10 %  | 81.89/85.08 82.33/85.04 52.18 0.552 0.755
    """,
    "base": {"method": "dmmsa"},
    "variants": (
        {"name": "100 %", "options": {"train_fraction": 1.0}},
        {"name": "80 %", "options": {"train_fraction": 0.8}},
        {"name": "60 %", "options": {"train_fraction": 0.6}},
        {"name": "40 %", "options": {"train_fraction": 0.4}},
        {"name": "20 %", "options": {"train_fraction": 0.2}},
        {"name": "10 %", "options": {"train_fraction": 0.1}},
    ),
    "notes": ("Differences are from all of the training data.",),
}
