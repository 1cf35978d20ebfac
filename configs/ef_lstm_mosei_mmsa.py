"""EF-LSTM on MOSEI with the hyper-parameters and the quirks of MMSA 2.2.

    msa-jax train ef_lstm --data MOSEI/Processed/aligned_50.pkl --text-encoder features --preset ef_lstm_mosei_mmsa

Every time step is normalised, the LSTMs read padding, the validation loss is the mean of its batches, rounded.
Published by MMSA, mean of five seeds: MAE 0.601, Corr 0.683, Acc-2 77.84/80.79.
"""

PRESET = {
    "method": "ef_lstm",
    "protocol": "reference",
    "options": {
        "batch_size": 128,
        "hidden": 256,
        "layers": 2,
        "dropout": 0.4,
        "learning_rate.other": 0.005,
        "weight_decay.other": 0.0001,
    },
}
