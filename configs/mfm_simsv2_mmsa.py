"""MFM on SIMS v2 with MMSA's hyper-parameters for SIMS and its quirks: it has none for SIMS v2.

    msa-jax train mfm --data SIMSv2/Processed/sims_unaligned.pkl --text-encoder features --preset mfm_simsv2_mmsa

LSTMs and memory walk padding, which is written again too; the validation loss is the mean of its batches, rounded; no cap on
epochs. Its number of tokens is not known here; set `max_tokens` to that of the file. MMSA publishes no row.
"""

PRESET = {"extends": "mfm_sims_mmsa", "options": {"max_tokens": 50}}
