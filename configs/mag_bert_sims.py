"""MAG-BERT on SIMS, with the settings that its authors' code has for MOSI.

    msa-jax train mag_bert --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese

The paper has no experiment on SIMS. Its features are unaligned: audio and vision are averaged to the length of the text.
Nothing is published to compare with.
"""

PRESET = {
    "method": "mag_bert",
    "options": {
        "max_tokens": 39,
    },
}
