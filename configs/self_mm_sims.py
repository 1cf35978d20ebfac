"""Self-MM on SIMS, as the paper states it: Adam, 5e-5 for BERT, 1e-3 for the rest; early stopping.

    msa-jax train self_mm --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese

The paper names no widths, dropout or batch size; those of its repository for SIMS stand here.
Published, mean of five seeds (Table 3): MAE 0.419, Corr 0.616, Acc-2 80.74, F1 80.78.
"""

PRESET = {
    "method": "self_mm",
    "options": {
        "max_tokens": 39,
        "audio_hidden": 16,
        "dropout.m": 0.0,
        "dropout.t": 0.1,
        "dropout.v": 0.0,
    },
}
