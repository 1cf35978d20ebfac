"""DMMSA, Figure 4: the error on valid, with and without the coarse classification.

    msa-jax reproduce dmmsa.figure4 --data MOSI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased
    msa-jax reproduce dmmsa.figure4 --data synthetic

What the paper shows. On MOSI, MAE on valid over the epochs, with the classification ("Cross") and without
("Non_Cross"), the lowest circled, in one drawing without numbers. It reads there (section 4.3): with it the MAE
fluctuates less and falls faster.

What is drawn here. The epochs of the fusion, every seed thin and their mean bold, a circle at the lowest mean.
`table.*` says in numbers what is claimed: the epoch from which the MAE is within 2 % of its lowest, and the mean change
from one epoch to the next.

Hardware. The paper trains on one A100 and states no training time. Cost: two variants x seeds, with the three encoders
pretrained once for each seed.

Caveats. Which run or runs the paper draws is not said. Both variants begin with the same encoders here. Training ends
with the patience of the preset: in that of MOSI after all 25 epochs.
"""

STUDY = {
    "title": "DMMSA, MAE on valid in training",
    "kind": "valid_curves",
    "paper": "DMMSA, Applied Sciences 2025, 15(11), 6342, Figure 4",
    "datasets": {
        "mosi": {"text_encoder": "bert-base-uncased", "rows": (1284, 229, 686), "aligned": False},
    },
    "base": {"method": "dmmsa"},
    "variants": (
        {"name": "DMMSA", "options": {"classification": True}},
        {"name": "w/o MSC", "options": {"classification": False}},
    ),
    "notes": ("The encoders are trained once for each seed, for the first variant; the others take them from it.",),
    "share_stages": True,
}
