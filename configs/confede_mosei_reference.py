"""ConFEDE on MOSEI with the hyper-parameters and the quirks of the ConFEDE repository.

    msa-jax train confede --data MOSEI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased --preset confede_mosei_reference

As confede_mosei, and: partners by their places in the ranking, means over padding, BERT frozen for 49 epochs of the text, with
its dropout. Weight decay of audio and vision is AdamW's, as in the scripts of MOSEI. Selected is from epoch 51 on of the
text, 6 of audio and vision and 2 of the fusion, at the end of epochs; the code scores valid every 100 steps of the fusion. The
text stage has two warm-ups for one.
"""

PRESET = {
    "method": "confede",
    "protocol": "reference",
    "options": {
        "audio_layers": 3,
        "vision_layers": 3,
        "batch_size": 8,
        "max_epochs": 6,
        "patience": 6,
        "warmup": 0.1667,
        "learning_rate.text": 0.0001,
        "learning_rate.audio": 0.0001,
        "learning_rate.vision": 0.0001,
        "learning_rate.other": 0.0001,
        "stage_text.max_epochs": 150,
        "stage_text.batch_size": 64,
        "stage_text.learning_rate": 1e-05,
        "stage_text.warmup": 0.0333,
        "stage_audio.max_epochs": 300,
        "stage_audio.batch_size": 128,
        "stage_audio.learning_rate": 0.0001,
        "stage_audio.warmup": 0.0333,
        "stage_vision.max_epochs": 300,
        "stage_vision.batch_size": 128,
        "stage_vision.learning_rate": 0.0001,
        "stage_vision.warmup": 0.0333,
        "retrieval.candidates": 50,
        "text_head_share": 0.3267,
        "select_from": 2,
        "stage_text.select_from": 51,
        "stage_audio.select_from": 6,
        "stage_vision.select_from": 6,
        "stage_audio.weight_decay_mode": "decoupled",
        "stage_vision.weight_decay_mode": "decoupled",
    },
}
