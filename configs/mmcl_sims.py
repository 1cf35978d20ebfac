"""MMCL on SIMS, with the values of the paper for MOSEI.

    msa-jax train mmcl --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese

The paper has no experiment on SIMS. Its features are unaligned: audio and vision are averaged to the length of the text.
"""

PRESET = {
    "method": "mmcl",
    "protocol": "paper",
    "options": {
        "batch_size": 32,
        "learning_rate.text": 5e-05,
        "learning_rate.audio": 0.001,
        "learning_rate.vision": 0.001,
        "learning_rate.other": 0.001,
        "temperature": 0.1,
        "dropout": 0.1,
        "weights.uni": 0.7,
        "weights.sentiment": 1.0,
        "weights.cross": 1.0,
        "weights.alignment": 0.75,
        "weights.uniformity": 0.1,
        "max_tokens": 39,
    },
}
