"""Graph-MFN on the built-in synthetic dataset, with a small text encoder that is trained from nothing.

    msa-jax train graph_mfn --data synthetic

Nothing was tuned. Elsewhere Graph-MFN leaves its text encoder alone; one from nothing has to be trained.
"""

PRESET = {
    "method": "graph_mfn",
    "options": {
        "finetune_text": True,
        "hidden.text": 32,
        "hidden.audio": 16,
        "hidden.vision": 16,
        "memory": 32,
        "batch_size": 16,
        "max_epochs": 30,
        "patience": 12,
        "learning_rate.text": 0.001,
    },
}
