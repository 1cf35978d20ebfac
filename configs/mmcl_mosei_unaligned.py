"""MMCL on MOSEI, unaligned features (500 audio and 500 vision frames), the values of the aligned experiment.

    msa-jax train mmcl --data MOSEI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased --preset mmcl_mosei_unaligned

Audio and vision are averaged to the length of the text before they meet it.
Published, mean of five seeds (Table 3): MAE 0.538, Corr 0.765, Acc-2 84.5/85.7, F1 84.6/85.6, Acc-7 53.4.
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
    },
}
