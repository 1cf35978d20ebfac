"""MAG-BERT on MOSEI, token-aligned features, with the hyper-parameters of MMSA 2.2: Adam at 1e-5 without schedule, L1.

    msa-jax train mag_bert --data MOSEI/Processed/aligned_50.pkl --text-encoder bert-base-uncased --preset mag_bert_mosei_mmsa

MMSA publishes no row. A rerun by Self-MM's authors, five seeds: MAE 0.539, Corr 0.753, Acc-2 83.79/85.23, F1 83.74/85.08.
"""

PRESET = {
    "method": "mag_bert",
    "protocol": "reference",
    "options": {
        "learning_rate.text": 1e-05,
        "learning_rate.other": 1e-05,
        "gate_dropout": 0.2,
    },
}
