"""MAG-BERT on SIMS with the hyper-parameters of MMSA 2.2: Adam at 5e-5 without schedule, L1.

    msa-jax train mag_bert --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese --preset mag_bert_sims_mmsa

Unaligned frames come to the tokens by windows of the padded sequences, whatever their lengths, so that the frames of a
sample lie on its first tokens and on padding: 11 audio and 2 vision frames a token, of 400 and 55. MMSA before December 2023
took every 39th frame instead (`alignment` "strided"). MMSA publishes no row.
"""

PRESET = {
    "method": "mag_bert",
    "protocol": "reference",
    "options": {
        "max_tokens": 39,
        "learning_rate.text": 5e-05,
        "learning_rate.other": 5e-05,
        "gate_dropout": 0.1,
    },
}
