"""EF-LSTM on SIMS v2 with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train ef_lstm --data SIMSv2/Processed/sims_unaligned.pkl --text-encoder features --preset ef_lstm_simsv2_mmsa

Every time step is normalised, the LSTMs read padding, the validation loss is the mean of its batches, rounded.
Its number of tokens is not known here; set `max_tokens` to that of the file.
Published by MMSA, mean of five seeds: Acc-2 78.94, Acc-3 72.38, Acc-5 49.26, F1 79.03, MAE 0.337, Corr 0.659.
"""

PRESET = {
    "method": "ef_lstm",
    "protocol": "reference",
    "options": {
        "weight_decay.other": 0.0,
        "layers": 3,
        "dropout": 0.2,
        "learning_rate.other": 0.0005,
    },
}
