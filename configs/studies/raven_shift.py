"""RAVEN: what a trained shift of the words brings, and whether it must be trained.

    msa-jax reproduce raven.shift --data mosi_clean --text-encoder MINILM --seeds 1111 1112 1113
    msa-jax reproduce raven.shift --data synthetic --seeds 1111 1112 1113

No paper has this table. In the authors' code no gradient reaches the shift: the words are moved by audio and vision through
weights that stay as they were drawn. The paper describes a shift that is learned. The three rows are the words without a shift
(`beta` 0), with a shift by random weights (`detach_shift`), and with a trained one. All other options are equal.

Cost: three variants x seeds.

Caveats. Our RAVEN is approximate (the docstring of its module says how): one frame for each token, and the states of a frozen
BERT instead of word vectors, so that the words know their context before anything shifts them. Differences are from the words
without a shift.
"""

STUDY = {
    "title": "RAVEN, the shift of the words",
    "kind": "table",
    "paper": "no paper; of the difference between Wang et al., AAAI 2019, and its code",
    "datasets": {},
    "columns": "MAE Corr Has0_acc_2/Non0_acc_2 Has0_F1_score/Non0_F1_score",
    "base": {"method": "raven", "options": {"detach_shift": False}},
    "variants": (
        {"name": "words alone", "options": {"beta": 0.0}},
        {"name": "random shift", "options": {"detach_shift": True}},
        {"name": "trained shift"},
    ),
}
