"""ConFEDE on SIMS, unaligned features: three encoders first, then the fusion.

    msa-jax train confede --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese

Encoders: text 150 epochs at 1e-5, the first third with BERT frozen, then its last layer alone is trained; audio 300
epochs, two layers, and vision 300 epochs, one layer, at 1e-4; batches of 64; each on the human label of its modality.
Fusion: 50 epochs at 1e-4, batches of 32, BERT frozen. Warm-ups of 5, 10, 10 and 1 epochs, no early stop.
The warm-up of text is that of two schedules, with BERT frozen and without.
These are values of the authors' code. It selects the fusion by Acc-2 on valid, from epoch 11 on; here everything is
selected by MAE, since a run has one selection for all its stages.
Rerun by DMMSA (Table 2, computed from the differences that its abstract states): Acc-3 68.36, Acc-5 43.72, MAE 0.3924.
"""

PRESET = {
    "method": "confede",
    "options": {
        "max_tokens": 39,
        "vision_layers": 1,
        "text_layers": 1,
        "batch_size": 32,
        "max_epochs": 50,
        "patience": 50,
        "warmup": 0.02,
        "stage_text.max_epochs": 150,
        "stage_text.batch_size": 64,
        "stage_text.learning_rate": 1e-05,
        "stage_text.warmup": 0.0333,
        "stage_audio.max_epochs": 300,
        "stage_audio.batch_size": 64,
        "stage_audio.warmup": 0.0333,
        "stage_vision.max_epochs": 300,
        "stage_vision.batch_size": 64,
        "stage_vision.warmup": 0.0333,
        "retrieval.refresh_epochs": 10,
    },
}
