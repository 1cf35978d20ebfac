"""DMMSA, Figure 5: how alike the parts of a sample are, with and without the contrast.

    msa-jax reproduce dmmsa.figure5 --data MOSI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased
    msa-jax reproduce dmmsa.figure5 --data MOSEI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased
    msa-jax reproduce dmmsa.figure5 --data synthetic

What the paper shows. The similarity between similar and dissimilar parts (S, D) of text, image and audio, of a model
with the contrast ("CL") and of one without ("No_CL"), as a drawing of which no number can be read. It reads there
(section 4.3): the contrast parts what is uni-modal from what is multi-modal even where there are no labels of single
modalities.

What is drawn here. The mean cosine between any two of the six parts of a sample, over the rows of test and over seeds,
as a matrix for each variant. `table.*` has it too, and the means of the pairs that the loss pulls together and pushes
apart.

Hardware. The paper trains on one A100 and states no training time. Cost: two variants x seeds, with the three encoders
pretrained once for each seed.

Caveats. Without the contrast the single-part losses have the whole weight, 1 instead of about 0.5; `gdwg_scale` 0.5 would leave
it at that. Neither the dataset nor the measure of similarity nor the split is stated; the text speaks of MOSI and MOSEI
just before, and cosine is what the loss compares by. A low error does not follow from parts that are apart: see
dmmsa.table5.
"""

STUDY = {
    "title": "DMMSA, similarity of parts",
    "kind": "part_similarity",
    "paper": "DMMSA, Applied Sciences 2025, 15(11), 6342, Figure 5",
    "datasets": {
        "mosi": {"text_encoder": "bert-base-uncased", "rows": (1284, 229, 686), "aligned": False},
        "mosei": {"text_encoder": "bert-base-uncased", "rows": (16326, 1871, 4659), "aligned": False},
    },
    "base": {"method": "dmmsa"},
    "variants": (
        {"name": "DMMSA", "options": {"contrast": "multi_nt_xent"}},
        {"name": "w/o CL", "options": {"contrast": "none"}},
    ),
    "notes": ("The encoders are trained once for each seed, for the first variant; the others take them from it.",),
    "share_stages": True,
}
