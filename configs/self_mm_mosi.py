"""Self-MM on MOSI, as the paper states it: Adam, 5e-5 for BERT, 1e-3 for the rest; early stopping.

    msa-jax train self_mm --data MOSI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased

The paper names no widths, dropout or batch size; those of its repository for MOSI are the defaults.
Published, mean of five seeds (Table 1): MAE 0.713, Corr 0.798, Acc-2 84.00/85.98, F1 84.42/85.95.
"""

PRESET = {"method": "self_mm"}
