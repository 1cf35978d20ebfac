"""Self-MM on MOSEI, as the paper states it: Adam, 5e-5 for BERT, 1e-3 for the rest; early stopping.

    msa-jax train self_mm --data MOSEI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased

The paper names no widths, dropout or batch size; those of its repository for MOSEI stand here.
Published, mean of five seeds (Table 1): MAE 0.530, Corr 0.765, Acc-2 82.81/85.17, F1 82.53/85.30.
"""

PRESET = {
    "method": "self_mm",
    "options": {
        "vision_hidden": 32,
        "feature_size.t": 32,
        "feature_size.v": 16,
        "dropout.m": 0.0,
        "dropout.t": 0.1,
        "dropout.a": 0.0,
    },
}
