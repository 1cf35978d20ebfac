"""Self-MM, Figure 5: cases, samples with their m-label and u-labels.

    msa-jax reproduce self_mm.figure5 --data MOSI.pkl --text-encoder bert-base-uncased
    msa-jax reproduce self_mm.figure5 --data synthetic

What the paper shows. Three training samples of MOSI, picked by hand, whose u-labels leave the m-label in a
direction that text, voice and face make plausible. How they were picked, and of which run, is not stated.

What is shown here. Cases chosen by a rule that is printed below the table and knows nothing of what is plausible:
the furthest on the lower side, on the higher side, and to both sides. Where the dataset has unimodal labels of its
own, they stand beside the u-labels.

Hardware and time are not stated by the paper. Cost: one variant x seeds.

Caveats. Extremes show what the method can do, not what it usually does: see self_mm.figure4 for that.
"""

STUDY = {
    "title": "Self-MM, cases of u-labels",
    "kind": "case_table",
    "paper": "Yu et al., AAAI 2021, Figure 5",
    "datasets": {
        "mosi": {"text_encoder": "bert-base-uncased", "rows": (1284, 229, 686)},
    },
    "columns": "label label_t label_a label_v",
    "rows": """
        And the crackon you know in the preview is like so much type. | 0.80 -0.27 -0.97 -0.21
        And he did a great job.                                       | -0.5 0.91  0.85  -0.31
        Just not enough depth to be interesting.                      | 1.40 0.28  -1.08 -0.55
    """,
    "variants": ({"name": "Self-MM", "method": "self_mm", "options": {"unimodal_labels": "generated"}},),
}
