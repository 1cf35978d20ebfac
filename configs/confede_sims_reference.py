"""ConFEDE on SIMS with the hyper-parameters and the quirks of the ConFEDE repository.

    msa-jax train confede --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese --preset confede_sims_reference

As confede_sims, and: partners by their places in the ranking, means over padding, coupled weight decay of audio and vision,
BERT frozen for 49 epochs of the text, with its dropout. Selected is from epoch 51 on of the text and of vision, 31 of audio
and 11 of the fusion, by MAE; the code selects the fusion by Acc-2. AMSGrad of audio and vision is not here, and the text
stage has two warm-ups for one.
"""

PRESET = {
    "method": "confede",
    "protocol": "reference",
    "options": {
        "max_tokens": 39,
        "audio_layers": 2,
        "vision_layers": 1,
        "text_layers": 1,
        "batch_size": 32,
        "max_epochs": 50,
        "patience": 50,
        "warmup": 0.02,
        "learning_rate.text": 0.0001,
        "learning_rate.audio": 0.0001,
        "learning_rate.vision": 0.0001,
        "learning_rate.other": 0.0001,
        "stage_text.max_epochs": 150,
        "stage_text.batch_size": 64,
        "stage_text.learning_rate": 1e-05,
        "stage_text.warmup": 0.0333,
        "stage_audio.max_epochs": 300,
        "stage_audio.batch_size": 64,
        "stage_audio.learning_rate": 0.0001,
        "stage_audio.warmup": 0.0333,
        "stage_vision.max_epochs": 300,
        "stage_vision.batch_size": 64,
        "stage_vision.learning_rate": 0.0001,
        "stage_vision.warmup": 0.0333,
        "retrieval.refresh_epochs": 10,
        "text_head_share": 0.3267,
        "select_from": 11,
        "stage_text.select_from": 51,
        "stage_audio.select_from": 31,
        "stage_vision.select_from": 51,
        "stage_audio.weight_decay_mode": "coupled",
        "stage_vision.weight_decay_mode": "coupled",
    },
}
