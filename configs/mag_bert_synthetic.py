"""MAG-BERT on the built-in synthetic dataset, with a small text encoder that is trained from nothing.

    msa-jax train mag_bert --data synthetic

The sequences are unaligned: audio and vision are averaged to the length of the text. The learning rate is that of the other
methods on this dataset, since 1e-5 is for a pretrained encoder.
"""

PRESET = {
    "method": "mag_bert",
    "options": {
        "batch_size": 16,
        "learning_rate.text": 0.001,
        "learning_rate.other": 0.001,
    },
}
