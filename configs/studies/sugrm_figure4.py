"""SUGRM, Figure 4: how the u-labels spread over the epochs.

    msa-jax reproduce sugrm.figure4 --data MOSI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased
    msa-jax reproduce sugrm.figure4 --data synthetic

What the paper shows. Histograms of the u-labels of MOSI over the epochs: they start as the m-labels, move, and "stabilize
within 15 epochs". It prints no numbers.

What is drawn here. One row of panels for each modality, one column for each of up to six epochs, of the first seed;
the outline is the distribution of the m-labels. `table.*` gives mean, sd, share at the limit and mean |u - m| of
every epoch over all seeds. Where the dataset has unimodal labels of its own (SIMS, synthetic), a second table says
how near the u-labels come to them. sugrm.labels sets both rules of label generation side by side.

Hardware. The paper trains on one TITAN Xp; it states no training time. Cost: one variant x seeds.

Caveats. The labels are those that training stopped with, not those of the best epoch. Early stopping may end a run
before the labels have settled; --patience and --max-epochs lengthen it.
"""

STUDY = {
    "title": "SUGRM, distribution of u-labels",
    "kind": "label_distribution",
    "paper": "Hwang and Kim, Findings of EACL 2023, Figure 4",
    "datasets": {
        "mosi": {"text_encoder": "bert-base-uncased", "rows": (1284, 229, 686)},
    },
    "variants": ({"name": "SUGRM", "method": "sugrm", "options": {"unimodal_labels": "generated"}},),
}
