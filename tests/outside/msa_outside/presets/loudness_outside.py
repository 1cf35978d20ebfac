"""Found by its name for a dataset that is called "outside"."""

PRESET = {"method": "loudness", "options": {"learning_rate.other": 0.05, "max_epochs": 3, "batch_size": 8}}
