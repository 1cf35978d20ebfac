"""Self-MM, Table 3: generated unimodal labels against human ones.

    msa-jax reproduce self_mm.table3 --data SIMS.pkl --text-encoder bert-base-chinese
    msa-jax reproduce self_mm.table3 --data synthetic

What the paper shows. On SIMS, whose annotators also labelled text, audio and vision by themselves, the same network
trained on those human labels (Human-MM, MAE 0.408) is a little better than on generated ones (Self-MM, MAE 0.419),
and both are better than TFN and LMF.

Hardware and time are not stated by the paper. Cost: two variants x seeds.

Caveats. Human-MM needs the columns label_t, label_a and label_v of the modalities there are: SIMS has them, and so
has the synthetic dataset, whose unimodal labels are the truth that made it; MOSI and MOSEI have not. The paper's
Acc-2 of SIMS is read as MMSA's (zero counts as negative). It names no Chinese BERT; its code takes
bert-base-chinese. TFN and LMF are the paper's numbers alone.
"""

STUDY = {
    "title": "Self-MM, generated against human unimodal labels",
    "kind": "table",
    "paper": "Yu et al., AAAI 2021, Table 3",
    "datasets": {"sims": {"text_encoder": "bert-base-chinese", "rows": (1368, 456, 457)}},
    "metrics": (
        "MAE",
        "Corr",
        "Mult_acc_2",
        "F1_score",
        "Has0_acc_2",
        "Non0_acc_2",
        "Has0_F1_score",
        "Non0_F1_score",
    ),
    "variants": (
        {
            "name": "Human-MM",
            "method": "self_mm",
            "options": {"unimodal_labels": "human"},
            "paper": {"sims": {"MAE": 0.408, "Corr": 0.647, "Mult_acc_2": 0.8132, "F1_score": 0.8173}},
        },
        {
            "name": "Self-MM",
            "method": "self_mm",
            "options": {"unimodal_labels": "generated"},
            "paper": {"sims": {"MAE": 0.419, "Corr": 0.616, "Mult_acc_2": 0.8074, "F1_score": 0.8078}},
        },
    ),
    "context": (
        {"name": "TFN", "paper": {"sims": {"MAE": 0.428, "Corr": 0.605, "Mult_acc_2": 0.7986, "F1_score": 0.8015}}},
        {"name": "LMF", "paper": {"sims": {"MAE": 0.431, "Corr": 0.600, "Mult_acc_2": 0.7937, "F1_score": 0.7865}}},
    ),
}
