"""MMCL, Figure 5: the fused representation with and without contrasts.

    msa-jax reproduce mmcl.figure5 --data MOSI/Processed/aligned_50.pkl --text-encoder bert-base-uncased
    msa-jax reproduce mmcl.figure5 --data synthetic

What the paper shows. t-SNE of F_M on the training split of MOSI, with all contrasts and with none. It reads there (section
5.2): without them the samples of a batch are "clustered too tight" and neutral ones cannot be told from the others; with
them samples of the same polarity come together and neutral ones are more distinguishable.

What is drawn here. The same on train and on test, of the first seed, coloured by the label. Since t-SNE makes clusters of
anything and what is learned by heart looks like order on train, `table.*` has numbers of the representation itself, over
all seeds: silhouette by the sign of the label, correlation of the label with a linear probe, effective rank, uniformity.

Hardware. The paper trains on one GTX 1080 Ti and states no training time. Cost: two variants x seeds.

Not measured here: that samples of one batch lie together without contrasts, since predictions are made in the order of the
split and batches are drawn anew in every epoch.

Caveats. A split of more than 2000 rows is drawn with 2000 of them, evenly spaced in its order. t-SNE's options are not
stated: perplexity 30 (fewer rows: a third of them), from principal components, one seed. Needs scikit-learn.
"""

STUDY = {
    "title": "MMCL, fused representation",
    "kind": "representations",
    "paper": "Lin and Hu, Findings of EMNLP 2022, Figure 5",
    "datasets": {
        "mosi": {"text_encoder": "bert-base-uncased", "rows": (1284, 229, 686), "aligned": True},
    },
    "base": {"method": "mmcl"},
    "variants": (
        {"name": "MMCL", "options": {"contrast": ("uni", "cross", "alignment", "uniformity", "sentiment")}},
        {"name": "No Contrast", "options": {"contrast": ()}},
    ),
}
