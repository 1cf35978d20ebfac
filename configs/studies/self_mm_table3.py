"""Self-MM, Table 3: generated unimodal labels against human ones.

    msa-jax reproduce self_mm.table3 --data SIMS.pkl --text-encoder bert-base-chinese
    msa-jax reproduce self_mm.table3 --data synthetic

What the paper shows. On SIMS, whose annotators also labelled text, audio and vision by themselves, the same network
trained on those human labels (Human-MM, MAE 0.408) is a little better than on generated ones (Self-MM, MAE 0.419),
and both are better than TFN and LMF.

Hardware and time are not stated by the paper. Cost: four variants x seeds.

Caveats. Human-MM needs the columns label_t, label_a and label_v of the modalities there are: SIMS has them, and so
has the synthetic dataset, whose unimodal labels are the truth that made it; MOSI and MOSEI have not. The paper's
Acc-2 of SIMS is read as MMSA's (zero counts as negative). It names no Chinese BERT; its code takes
bert-base-chinese.
"""

STUDY = {
    "title": "Self-MM, generated against human unimodal labels",
    "kind": "table",
    "paper": "Yu et al., AAAI 2021, Table 3",
    "datasets": {
        "sims": {"text_encoder": "bert-base-chinese", "rows": (1368, 456, 457)},
    },
    "columns": "MAE Corr Mult_acc_2 F1_score",
    "rows": """
        Human-MM | 0.408 0.647 81.32 81.73
        Self-MM  | 0.419 0.616 80.74 80.78
        TFN      | 0.428 0.605 79.86 80.15 | not said
        LMF      | 0.431 0.600 79.37 78.65 | not said
    """,
    "variants": (
        {"name": "Human-MM", "method": "self_mm", "options": {"unimodal_labels": "human"}},
        {"name": "Self-MM", "method": "self_mm", "options": {"unimodal_labels": "generated"}},
        {"name": "TFN", "method": "tfn"},
        {"name": "LMF", "method": "lmf"},
    ),
}
