"""MMCL, Table 4: which modalities help.

    msa-jax reproduce mmcl.table4 --data MOSEI/Processed/aligned_50.pkl --text-encoder bert-base-uncased
    msa-jax reproduce mmcl.table4 --data synthetic

What the paper shows. On MOSEI: text alone has MAE 0.552, with audio 0.540, with vision 0.538, with both 0.537; without text
it is 0.835 or worse. Acc-2 has0 rises from 80.7 to 84.8, non0 from 85.3 to 85.9.

How the ablation is meant. A modality is removed by setting its representation "to all zero vector", so that the architecture
does not change (A.3). So the network, its size and its losses stay; the representation F is zeros, in training and in use.

Hardware. The paper trains on one GTX 1080 Ti and states no training time. Cost: seven variants x seeds.

What audio and vision alone say. A + V has Acc-2 71.0/62.9 with F1 59.0/48.5 and Corr 0.148. A guess that is always positive has
an Acc-2 of p, the share of positive samples, and an F1, weighted by class, of 2p²/(1 + p): 59.0 and 48.6 for p of 71.0 and 62.9.
So without text the paper's model says positive of nearly every sample.

Caveats. A modality that is zeros is still predicted, and its contrasts stay, though its target no longer knows the sample.
A text model of its own, without all this, is text_only: see mmcl.table1. The number of runs is not stated for this table.
Acc-2 and F1 are printed as has0/non0.
"""

STUDY = {
    "title": "MMCL, which modalities help",
    "kind": "table",
    "paper": "Lin and Hu, Findings of EMNLP 2022, Table 4",
    "datasets": {
        "mosei": {"text_encoder": "bert-base-uncased", "rows": (16326, 1871, 4659), "aligned": True},
    },
    "columns": "Mult_acc_7 Has0_acc_2/Non0_acc_2 Has0_F1_score/Non0_F1_score MAE Corr",
    "rows": """
        T + A + V | 53.6 84.8/85.9 84.8/85.7 0.537 0.765
        T + V     | 53.6 83.6/85.9 83.9/85.9 0.538 0.763
        T + A     | 53.3 82.4/85.5 82.8/85.4 0.540 0.762
        A + V     | 41.4 71.0/62.9 59.0/48.5 0.837 0.148
        T         | 52.6 80.7/85.3 81.4/85.4 0.552 0.761
        V         | 40.9 70.9/62.8 59.2/48.9 0.841 0.109
        A         | 41.6 70.0/62.8 60.5/51.1 0.835 0.116
    """,
    "base": {"method": "mmcl"},
    "variants": (
        {"name": "T + A + V", "options": {"modalities": ("t", "a", "v")}, "needs": ("text", "audio", "vision")},
        {"name": "T + V", "options": {"modalities": ("t", "v")}, "needs": ("text", "vision")},
        {"name": "T + A", "options": {"modalities": ("t", "a")}, "needs": ("text", "audio")},
        {"name": "A + V", "options": {"modalities": ("a", "v")}, "needs": ("audio", "vision")},
        {"name": "T", "options": {"modalities": ("t",)}, "needs": ("text",)},
        {"name": "V", "options": {"modalities": ("v",)}, "needs": ("vision",)},
        {"name": "A", "options": {"modalities": ("a",)}, "needs": ("audio",)},
    ),
}
