"""ConFEDE on MOSI with the hyper-parameters and the quirks of the ConFEDE repository.

    msa-jax train confede --data MOSI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased --preset confede_mosi_reference

As confede_mosi, and: partners by their places in the ranking, means over padding, coupled weight decay of audio and vision,
BERT frozen for 65 epochs of the text, with its dropout. Selected is from epoch 67 on of the text, 31 of audio, 21 of vision
and 2 of the fusion. AMSGrad of audio and vision is not here, and the text stage has two warm-ups for one.
"""

PRESET = {
    "method": "confede",
    "protocol": "reference",
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
        "text_head_share": 0.325,
        "select_from": 2,
        "stage_text.select_from": 67,
        "stage_audio.select_from": 31,
        "stage_vision.select_from": 21,
        "stage_audio.weight_decay_mode": "coupled",
        "stage_vision.weight_decay_mode": "coupled",
    },
}
