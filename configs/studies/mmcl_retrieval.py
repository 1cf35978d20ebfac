"""MMCL, is a predicted modality its own: does the prediction of a sample's vision lie nearer to its own target?

    msa-jax reproduce mmcl.retrieval --data MOSI/Processed/aligned_50.pkl --text-encoder bert-base-uncased
    msa-jax reproduce mmcl.retrieval --data synthetic

No paper has this. MMCL predicts a latent vector of audio (P_a) and of vision (P_v) from the other modalities, and argues
(section 3.4) that L_cross and L_align pull it to the sample's own target (G_a, G_v) while L_uniform keeps what is particular
to a sample. That can be measured: among the targets of all validation rows, how near is a row's own?

What is shown. For each predicted modality how often the own target is nearer than another one (50 % is chance), also among
rows of the same sign of sentiment, since L_sent alone brings those together; how often it is the nearest, or of the five
nearest; the mean of 1 / place; and whether the vectors have collapsed: effective rank and uniformity. The last row is chance.

Hardware. No reference. Cost: six variants x seeds.

Caveats. On valid, with the checkpoint that valid chose by its error of the score: nothing here was selected on. A target is
made by the network too, so that a network can make it easy to predict: read the rank of G beside the rest.
"""

STUDY = {
    "title": "MMCL, retrieval of the own target",
    "kind": "retrieval",
    "paper": "no paper; of the argument in Lin and Hu, Findings of EMNLP 2022, section 3.4",
    "datasets": {},
    "base": {
        "method": "mmcl",
        "options": {"contrast": ("uni", "cross", "alignment", "uniformity", "sentiment"), "stop_gradient": False},
    },
    "variants": (
        {"name": "MMCL"},
        {"name": "w/o L_cross", "options": {"contrast": ("uni", "alignment", "uniformity", "sentiment")}},
        {"name": "w/o L_align", "options": {"contrast": ("uni", "cross", "uniformity", "sentiment")}},
        {"name": "w/o L_uniform", "options": {"contrast": ("uni", "cross", "alignment", "sentiment")}},
        {"name": "w/o ICL", "options": {"contrast": ("uni", "sentiment")}},
        {"name": "MMCL, no gradient from P to G", "options": {"stop_gradient": True}},
    ),
}
