"""SUGRM, Table 5: cases, samples with their m-label and u-labels.

    msa-jax reproduce sugrm.table5 --data MOSI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased
    msa-jax reproduce sugrm.table5 --data synthetic

What the paper shows. Four samples of MOSI with a description of voice and face, the predictions of all four tasks, and
the m-label and u-labels "during training". How they were picked, of which run and epoch they are, is not stated.

What is shown here. Cases chosen by a rule that is printed below the table and knows nothing of what is plausible:
the furthest on the lower side, on the higher side, and to both sides. Where the dataset has unimodal labels of its
own, they stand beside the u-labels. Of the paper's samples the labels are shown, not the predictions.

Hardware. The paper trains on one TITAN Xp; it states no training time. Cost: one variant x seeds.

The paper's samples do not fit its rule. Their twelve offsets have a mean of 0.33, and five are 0.1, which needs features of the
two tasks that are at most 2.5 % of D_max apart, unless moves to both sides cancelled: docs/sugrm_labels.md.

Caveats. Extremes show what the method can do, not what it usually does: see sugrm.figure4 for that.
"""

STUDY = {
    "title": "SUGRM, cases of u-labels",
    "kind": "case_table",
    "paper": "Hwang and Kim, Findings of EACL 2023, Table 5",
    "datasets": {
        "mosi": {"text_encoder": "bert-base-uncased", "rows": (1284, 229, 686)},
    },
    "columns": "label label_t label_a label_v",
    "rows": """
        Everytime that was like a jump everyone jumped,       | 0.8  0.6  0.9 0.7
        I was really hoping that this one be just as good.    | -0.8 -0.3 0.0 -0.7
        Looks exactly the same as this character in Defiance. | 0.2  0.1  0.7 0.1
        I don't know what they are complaining about it.      | 1.8  0.9  1.5 1.5
    """,
    "variants": ({"name": "SUGRM", "method": "sugrm", "options": {"unimodal_labels": "generated"}},),
}
