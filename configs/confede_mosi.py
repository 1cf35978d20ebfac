"""ConFEDE on MOSI, unaligned features: three encoders first, then the fusion.

    msa-jax train confede --data MOSI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased

Encoders: text 200 epochs, the first third with BERT frozen, in batches of 128; audio and vision 100 epochs each, two
layers. Fusion: 25 epochs, batches of 16, BERT frozen. Rates 1e-4, warm-ups of 5, 10, 5 and 1 epochs, no early stop.
These are values of the authors' code. It tokenises up to 256, and selects the fusion by MAE on valid, as here.
Rerun by DMMSA (Table 3), mean of five seeds: MAE 0.725, Corr 0.789, Acc-2 83.85/85.55, F1 83.83/85.76, Acc-7 43.82.
"""

PRESET = {
    "method": "confede",
    "protocol": "paper",
    "options": {
        "audio_layers": 2,
        "vision_layers": 2,
        "batch_size": 16,
        "max_epochs": 25,
        "patience": 25,
        "warmup": 0.04,
        "learning_rate.text": 0.0001,
        "learning_rate.audio": 0.0001,
        "learning_rate.vision": 0.0001,
        "learning_rate.other": 0.0001,
        "stage_text.max_epochs": 200,
        "stage_text.batch_size": 128,
        "stage_text.learning_rate": 0.0001,
        "stage_text.warmup": 0.025,
        "stage_audio.max_epochs": 100,
        "stage_audio.batch_size": 128,
        "stage_audio.learning_rate": 0.0001,
        "stage_audio.warmup": 0.1,
        "stage_vision.max_epochs": 100,
        "stage_vision.batch_size": 128,
        "stage_vision.learning_rate": 0.0001,
        "stage_vision.warmup": 0.05,
    },
}
