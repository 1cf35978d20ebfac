"""Two rules of label generation, Self-MM's and SUGRM's, each in either network, against true unimodal labels.

    msa-jax reproduce sugrm.labels --data synthetic
    msa-jax reproduce sugrm.labels --data synthetic --protocol reference --out runs/sugrm.labels-reference
    msa-jax reproduce sugrm.labels --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese

No paper has this. SUGRM argues (sections 1 and 3.3) that Self-MM's rule diverges where a multimodal feature lies about
equally far from both class centres, and judges its own labels by four samples. A dataset with unimodal labels of its
own (SIMS, synthetic) can tell which labels are nearer to the truth, and how many stand at the limit of the range.

What is shown. A table of all variants after the last epoch: share of u-labels at the limit, mean |u - m|, correlation of
the offset u - m with the true one, and the distance from the true labels beside that of the m-labels. Then each
variant's distribution over the epochs, as a table and drawn. Without own labels the comparison with them is left out.

Cost: four variants x seeds.

Caveats. Within a network only the rule differs: the features of Self-MM are 32 wide in both of its variants, which
SUGRM's rule needs, and not the 128, 64, 16 and 32 of its code; its published widths are in self_mm.figure4. Between the
networks everything differs, so read each pair by itself. A rule changes the labels, these the training, and so when
training stops: set --patience as high as --max-epochs to compare after the same number of epochs. In either protocol
labels are clipped to the label range, which hides how far Self-MM's would go; and they are means over epochs, so that a
label that jumps from limit to limit need not stand at one.
"""

STUDY = {
    "title": "Rules of label generation",
    "kind": "label_distribution",
    "paper": "no paper; of the argument in Hwang and Kim, Findings of EACL 2023, sections 1 and 3.3",
    "datasets": {},
    "variants": (
        {"name": "SUGRM", "method": "sugrm", "options": {"unimodal_labels": "generated", "label_generation": "sugrm"}},
        {
            "name": "SUGRM, rule of Self-MM",
            "method": "sugrm",
            "options": {"unimodal_labels": "generated", "label_generation": "self_mm"},
        },
        {
            "name": "Self-MM",
            "method": "self_mm",
            "options": {
                "unimodal_labels": "generated",
                "label_generation": "self_mm",
                "feature_size.m": 32,
                "feature_size.t": 32,
                "feature_size.a": 32,
                "feature_size.v": 32,
            },
        },
        {
            "name": "Self-MM, rule of SUGRM",
            "method": "self_mm",
            "options": {
                "unimodal_labels": "generated",
                "label_generation": "sugrm",
                "feature_size.m": 32,
                "feature_size.t": 32,
                "feature_size.a": 32,
                "feature_size.v": 32,
            },
        },
    ),
}
