"""MMCL on the built-in synthetic dataset, with a small text encoder that is trained from nothing.

    msa-jax train mmcl --data synthetic

The weights of the contrasts are a tenth of the paper's, whose encoder is pretrained: at the paper's, one that starts from
nothing learns the contrasts and not the score (seed 1111, valid: Corr 0.0 after 15 epochs; here 0.66). Audio and vision are
averaged to 16 steps, which takes half of the time. Chosen on valid. The printed strides of the CNNs make one latent step of
every sequence here; `--cnn-strides 2,2,2,2,1` leaves more.
"""

PRESET = {
    "method": "mmcl",
    "options": {
        "batch_size": 16,
        "max_epochs": 15,
        "patience": 15,
        "learning_rate.text": 0.001,
        "max_steps": 16,
        "weights.uni": 0.07,
        "weights.sentiment": 0.1,
        "weights.cross": 0.1,
        "weights.alignment": 0.075,
        "weights.uniformity": 0.01,
    },
}
