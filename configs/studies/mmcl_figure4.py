"""MMCL, Figure 4: the losses over the steps of training.

    msa-jax reproduce mmcl.figure4 --data MOSI/Processed/aligned_50.pkl --text-encoder bert-base-uncased
    msa-jax reproduce mmcl.figure4 --data synthetic

What the paper shows. On MOSI, every loss as its mean over 5 steps, L_uniform as its exponential, in one drawing without
numbers. It reads there (section 5.1): all fall together; then the others flatten while L_uni goes on; then L_cross and
L_uniform rise slightly, "where MMCL attempt to optimize the predictive representation"; then they fall again, less steeply.

What is drawn here. A panel for each loss with its own scale, all seeds and their mean; a dotted line where each seed's best
epoch ends, which is where the paper's training ends. `table.*` says in numbers how far each falls, and the largest rise of
an epoch's mean above that of an earlier epoch, which is the paper's claim of L_cross and L_uniform.

Hardware. The paper trains on one GTX 1080 Ti and states no training time. Cost: one variant x seeds.

Not measured here: that L_uni goes on falling after the others have flattened. The table has each loss at first, at its lowest,
and in the best and the last epoch.

Caveats. L_uni, L_cross, L_align, L_uniform and L_sent are sums over audio and vision, unweighted; L_total is eq. 10, weighted.
What comes after the best epoch the paper does not show. Each epoch is cut into fives from its beginning; what is left at its
end is in the table and not drawn.
"""

STUDY = {
    "title": "MMCL, losses in training",
    "kind": "loss_curves",
    "paper": "Lin and Hu, Findings of EMNLP 2022, Figure 4",
    "datasets": {
        "mosi": {"text_encoder": "bert-base-uncased", "rows": (1284, 229, 686), "aligned": True},
    },
    "variants": ({"name": "MMCL", "method": "mmcl", "options": {"record_steps": 5}},),
    "curves": (
        {"name": "L_reg", "terms": ("multimodal",)},
        {"name": "L_uni", "terms": ("contrast_audio", "contrast_vision")},
        {"name": "L_sent", "terms": ("sentiment",)},
        {"name": "L_cross", "terms": ("cross",)},
        {"name": "L_align", "terms": ("alignment",)},
        {"name": "exp(L_uniform)", "terms": ("uniformity",), "exponential": True},
        {"name": "L_total", "terms": ("loss",)},
    ),
}
