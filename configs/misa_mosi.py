"""MISA on MOSI, token-aligned features.

    msa-jax train misa --data MOSI/Processed/aligned_50.pkl --text-encoder bert-base-uncased

Sizes, rates and weights of the authors' code for MOSI are the defaults of the method: Adam at 1e-4 for everything, batches of
64, gradients clipped at ±1, selection by the mean squared error on valid, patience 6. With unaligned_50.pkl audio and vision
are read to their own lengths.
Published (aligned, BERT): MAE 0.783, Corr 0.761, Acc-2 81.8/83.4, F1 81.7/83.6, Acc-7 42.3. Reruns of other papers: MAE
0.804, Corr 0.764 (Self-MM, Table 1, five seeds) and MAE 0.752, Corr 0.784, Acc-7 43.5 (MMCL, Table 1).
"""

PRESET = {"method": "misa"}
