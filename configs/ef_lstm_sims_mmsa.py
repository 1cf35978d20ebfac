"""EF-LSTM on SIMS with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train ef_lstm --data SIMS/Processed/unaligned_39.pkl --text-encoder features --preset ef_lstm_sims_mmsa

Every time step is normalised, the LSTMs read padding, the validation loss is the mean of its batches, rounded.
The published row is probably from before December 2023, when MMSA aligned otherwise (`alignment` "strided").
Published by MMSA, mean of five seeds: MAE 0.591, Corr 0.055, Acc-2 69.37, Acc-3 54.27, Acc-5 21.23: a constant score.
"""

PRESET = {
    "method": "ef_lstm",
    "protocol": "reference",
    "options": {
        "max_tokens": 39,
        "batch_size": 128,
        "hidden": 32,
        "layers": 3,
        "learning_rate.other": 0.0005,
        "weight_decay.other": 0.001,
    },
}
