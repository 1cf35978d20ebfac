"""Self-MM, Figure 4: how the u-labels spread over the epochs.

    msa-jax reproduce self_mm.figure4 --data MOSI.pkl --text-encoder bert-base-uncased
    msa-jax reproduce self_mm.figure4 --data synthetic

What the paper shows. Histograms of the u-labels of MOSI, MOSEI and SIMS after a few epochs: they start as the
m-labels, move, and settle, on the larger MOSEI sooner ("about 20" epochs in the text). It prints no numbers.

What is drawn here. One row of panels for each modality, one column for each of up to six epochs, of the first seed;
the outline is the distribution of the m-labels. `table.*` gives mean, sd, share at the limit and mean |u - m| of
every epoch over all seeds. Where the dataset has unimodal labels of its own (SIMS, synthetic), a second table says
how near the u-labels come to them: this is the test that the paper's figure cannot give.

Hardware and time are not stated by the paper. Cost: one variant x seeds.

Caveats. The labels are those that training stopped with, not those of the best epoch. Early stopping may end a run
before the labels have settled; --patience and --max-epochs lengthen it.
"""

STUDY = {
    "title": "Self-MM, distribution of u-labels",
    "kind": "label_distribution",
    "paper": "Yu et al., AAAI 2021, Figure 4",
    "datasets": {
        "mosi": {"text_encoder": "bert-base-uncased", "rows": (1284, 229, 686)},
        "mosei": {"text_encoder": "bert-base-uncased", "rows": (16326, 1871, 4659)},
        "sims": {"text_encoder": "bert-base-chinese", "rows": (1368, 456, 457)},
    },
    "variants": ({"name": "Self-MM", "method": "self_mm", "options": {"unimodal_labels": "generated"}},),
}
