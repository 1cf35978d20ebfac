"""MAG-BERT on MOSI, unaligned features: audio and vision are averaged to as many frames as the text has tokens.

    msa-jax train mag_bert --data MOSI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased --preset mag_bert_mosi_unaligned

The paper has aligned data alone, so this is a reading: token i of m gets the mean of the i-th of m parts of the frames,
[CLS] and [SEP] counted. All other settings are the defaults of the method. Nothing is published for unaligned data.
"""

PRESET = {"method": "mag_bert"}
