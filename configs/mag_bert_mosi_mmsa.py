"""MAG-BERT on MOSI, token-aligned features, with the hyper-parameters of MMSA 2.2: Adam at 2e-5 without schedule, L1.

    msa-jax train mag_bert --data MOSI/Processed/aligned_50.pkl --text-encoder bert-base-uncased --preset mag_bert_mosi_mmsa

All settings are those of the reference protocol. MMSA publishes no row; an independent rerun of its code, ten seeds selected
on valid, gave MAE 0.739 (sd 0.018), Corr 0.787, Acc-2 non0 84.4, Acc-7 43.9.
"""

PRESET = {"method": "mag_bert", "protocol": "reference"}
