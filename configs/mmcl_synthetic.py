"""MMCL on the built-in synthetic dataset, with a small text encoder that is trained from nothing.

    msa-jax train mmcl --data synthetic

The printed strides of the CNNs make one latent step of every sequence here; `--cnn_strides 2,2,2,2,1` leaves more.
"""

PRESET = {
    "method": "mmcl",
    "protocol": "paper",
    "options": {
        "text_encoder": "scratch",
        "max_epochs": 30,
        "patience": 12,
        "learning_rate.text": 0.001,
        "learning_rate.audio": 0.001,
        "learning_rate.vision": 0.001,
        "learning_rate.other": 0.001,
    },
}
