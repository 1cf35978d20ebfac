"""DMMSA, Figure 6: the range of predictions, with and without the coarse classification.

    msa-jax reproduce dmmsa.figure6 --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese
    msa-jax reproduce dmmsa.figure6 --data synthetic

What the paper shows. The range that predictions lie in with the classification ("MSC") and without ("No_MSC"), as a
drawing of which no number can be read. It reads there (section 4.4): a sample that is classified as negative, say, is
predicted within that range only, so that the score does not stray from the true one.

What is drawn here. For the rows of test whose label is negative, neutral or positive, where predictions lie: from the
5th to the 95th percentile, the middle half, the median; the range of the class as a band. `table.*` has the widths, how
many predictions lie inside the class of the label, and how far the others are from it. "restricted" is the score
clipped to the class that the classifier predicts, which is one way to read the paper's words; no score is clipped
unless asked for (option restrict_to_class).

Hardware. The paper trains on one A100 and states no training time. Cost: two variants x seeds, with the three encoders
pretrained once for each seed.

Caveats. Dataset, split and classes of the drawing are not stated: SIMS is that of the ablation which it explains, and
the three classes are those whose names it uses. Classes part at ±0.1 on SIMS and at ±0.5 on MOSI and MOSEI.
"""

STUDY = {
    "title": "DMMSA, spread of predictions",
    "kind": "class_spread",
    "paper": "DMMSA, Applied Sciences 2025, 15(11), 6342, Figure 6",
    "datasets": {
        "sims": {"text_encoder": "bert-base-chinese", "rows": (1368, 456, 457), "aligned": False},
    },
    "base": {"method": "dmmsa"},
    "variants": (
        {"name": "DMMSA", "options": {"classification": True}},
        {"name": "w/o MSC", "options": {"classification": False}},
    ),
    "notes": ("The encoders are trained once for each seed, for the first variant; the others take them from it.",),
    "share_stages": True,
}
