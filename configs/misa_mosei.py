"""MISA on MOSEI, token-aligned features.

    msa-jax train misa --data MOSEI/Processed/aligned_50.pkl --text-encoder bert-base-uncased

As on MOSI, but in batches of 16, and the first nine layers of BERT are frozen (its embeddings are not), as in the authors'
code. With unaligned_50.pkl audio and vision are read to their own lengths.
Published (aligned, BERT): MAE 0.555, Corr 0.756, Acc-2 83.6/85.5, F1 83.8/85.3, Acc-7 52.2. Reruns of other papers: MAE
0.568, Corr 0.724 (Self-MM, Table 1, five seeds) and MAE 0.550, Corr 0.758, Acc-7 52.2 (MMCL, Table 1).
"""

PRESET = {
    "method": "misa",
    "options": {
        "batch_size": 16,
        "freeze": "^text_encoder/bert/layer_[0-8]/",
    },
}
