"""ConFEDE on MOSEI, unaligned features: three encoders first, then the fusion.

    msa-jax train confede --data MOSEI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased

Encoders: text 150 epochs at 1e-5, the first third with BERT frozen, in batches of 64; audio and vision 300 epochs each,
three layers, at 1e-4. Fusion: 6 epochs at 1e-4, batches of 8, BERT frozen. Warm-ups of 5, 10, 10 and 1 epochs, no early
stop.
The warm-up of text is that of two schedules, with BERT frozen and without.
Weight decay is AdamW's in either protocol, as in the authors' scripts for MOSEI.
These are values of the authors' code. It tokenises up to 256, and scores valid every 100 steps; here it is every epoch.
Every sample comes with six partners, so that a batch of 8 has 56 rows.
Rerun by DMMSA (Table 3), mean of five seeds: MAE 0.555, Corr 0.753, Acc-2 80.7/84.38, F1 81.2/84.32, Acc-7 51.96.
"""

PRESET = {
    "method": "confede",
    "options": {
        "audio_layers": 3,
        "vision_layers": 3,
        "batch_size": 8,
        "max_epochs": 6,
        "patience": 6,
        "warmup": 0.1667,
        "stage_text.max_epochs": 150,
        "stage_text.batch_size": 64,
        "stage_text.learning_rate": 1e-05,
        "stage_text.warmup": 0.0333,
        "stage_audio.max_epochs": 300,
        "stage_audio.warmup": 0.0333,
        "stage_vision.max_epochs": 300,
        "stage_vision.warmup": 0.0333,
        "stage_audio.weight_decay_mode": "decoupled",
        "stage_vision.weight_decay_mode": "decoupled",
        "retrieval.candidates": 50,
    },
}
