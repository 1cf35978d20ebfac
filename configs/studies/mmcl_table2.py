"""MMCL, Table 2: what each part brings.

    msa-jax reproduce mmcl.table2 --data MOSEI/Processed/aligned_50.pkl --text-encoder bert-base-uncased
    msa-jax reproduce mmcl.table2 --data synthetic

What the paper shows. On MOSEI, every part that is taken away makes every number worse: MAE 0.537 becomes 0.564 without any
contrast and 0.567 with linear layers in place of the uni-modal Transformers, the two that cost most.

How the ablations are meant. "rp Transformer" replaces the uni-modal Transformers by linear layers. "w/o" a loss removes its
term alone. ICL is the three losses of instance-based contrastive learning together, L_cross, L_align and L_uniform; SCL is
L_sent, the sentiment-based one. "No Contrast" trains on the regression loss alone; the network stays as it is.

Hardware. The paper trains on one GTX 1080 Ti and states no training time. Cost: nine variants x seeds.

Caveats. The number of runs is stated for Tables 1 and 3 alone (five). Whether hyper-parameters were tuned for each row is
not stated either; here all rows share those of the preset. Without any contrast that looks at the targets, as in No
Contrast, the two CNNs that make them are not there, since nothing would train them. Acc-2 and F1 are printed as has0/non0.
"""

STUDY = {
    "title": "MMCL, ablation",
    "kind": "table",
    "paper": "Lin and Hu, Findings of EMNLP 2022, Table 2",
    "datasets": {
        "mosei": {"text_encoder": "bert-base-uncased", "rows": (16326, 1871, 4659), "aligned": True},
    },
    "columns": "Mult_acc_7 Has0_acc_2/Non0_acc_2 Has0_F1_score/Non0_F1_score MAE Corr",
    "rows": """
        MMCL           | 53.6 84.8/85.9 84.8/85.7 0.537 0.765
        rp Transformer | 51.0 81.9/84.7 82.2/84.6 0.567 0.741
        w/o L_uni      | 52.4 82.6/85.5 82.9/85.3 0.554 0.752
        w/o ICL        | 52.0 81.7/84.7 82.0/84.6 0.550 0.755
        w/o L_cross    | 53.0 83.8/85.2 83.7/84.9 0.543 0.761
        w/o L_align    | 52.9 83.9/85.0 83.8/84.6 0.554 0.756
        w/o L_uniform  | 52.3 84.4/85.5 84.4/85.2 0.553 0.757
        w/o SCL        | 52.2 82.2/84.9 82.6/84.8 0.546 0.756
        No Contrast    | 51.3 81.2/84.3 81.6/84.0 0.564 0.746
    """,
    "base": {
        "method": "mmcl",
        "options": {"unimodal": "transformer", "contrast": ("uni", "cross", "alignment", "uniformity", "sentiment")},
    },
    "variants": (
        {"name": "MMCL"},
        {"name": "rp Transformer", "options": {"unimodal": "linear"}},
        {"name": "w/o L_uni", "options": {"contrast": ("cross", "alignment", "uniformity", "sentiment")}},
        {"name": "w/o ICL", "options": {"contrast": ("uni", "sentiment")}},
        {"name": "w/o L_cross", "options": {"contrast": ("uni", "alignment", "uniformity", "sentiment")}},
        {"name": "w/o L_align", "options": {"contrast": ("uni", "cross", "uniformity", "sentiment")}},
        {"name": "w/o L_uniform", "options": {"contrast": ("uni", "cross", "alignment", "sentiment")}},
        {"name": "w/o SCL", "options": {"contrast": ("uni", "cross", "alignment", "uniformity")}},
        {"name": "No Contrast", "options": {"contrast": ()}},
    ),
    "notes": ("Differences are from MMCL with all its parts.",),
}
