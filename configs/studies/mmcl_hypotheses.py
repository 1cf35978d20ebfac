"""MMCL, why it fails where there is no text, and why L_cross hurts: what could be the cause, each changed by itself.

    msa-jax reproduce mmcl.hypotheses --data mmmo --seeds 1111 1112 1113
    msa-jax reproduce mmcl.hypotheses --data synthetic --seeds 1111 1112 1113

No paper has this table. Each row changes one thing against MMCL as the preset has it: how long it trains, how easily it learns
by heart, the start of the predictive networks (with PyTorch's, all predictions are nearly equal at first), what L_cross asks
for, the length of what is fused, and the way of audio and vision to the score.

Hardware. No reference. Cost: eleven variants x seeds.

Caveats. The last row but one is not the paper's: if it is better, the way through the predictions is the cause. Which row is best
must be read on valid; rows are no proposals for the test split.
"""

STUDY = {
    "title": "MMCL, possible causes",
    "kind": "table",
    "paper": "no paper; of gaps and choices of Lin and Hu, Findings of EMNLP 2022",
    "datasets": {},
    "columns": "MAE Corr Has0_acc_2/Non0_acc_2 Has0_F1_score/Non0_F1_score",
    "base": {
        "method": "mmcl",
        "options": {"contrast": ("uni", "cross", "alignment", "uniformity", "sentiment")},
    },
    "variants": (
        {"name": "MMCL"},
        {"name": "15 epochs", "options": {"max_epochs": 15, "patience": 15}},
        {"name": "dropout 0.6", "options": {"dropout": 0.6}},
        {"name": "64 channels", "options": {"cnn_channels": 64}},
        {"name": "Xavier's start", "options": {"predictor_init.kind": "xavier"}},
        {
            "name": "larger CNN kernels at the start",
            "options": {"predictor_init.cnn_gain": 2.887, "predictor_init.zero_biases": "cnn"},
        },
        {"name": "L_cross of {origin, predict} alone", "options": {"pairs": ("origin_predict",)}},
        {"name": "temperature 0.7 of L_cross", "options": {"own_temperature.cross": 0.7}},
        {"name": "predictions fused at unit length", "options": {"fused_prediction": "unit"}},
        {"name": "fusion reads F_a and F_v, too", "options": {"fused_encoded": True}},
        {"name": "no contrast", "options": {"contrast": ()}},
    ),
    "notes": ("Differences are from MMCL.",),
}
