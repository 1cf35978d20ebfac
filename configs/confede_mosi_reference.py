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
        "text_head_share": 0.325,
        "select_from": 2,
        "stage_text.select_from": 67,
        "stage_audio.select_from": 31,
        "stage_vision.select_from": 21,
        "stage_audio.weight_decay_mode": "coupled",
        "stage_vision.weight_decay_mode": "coupled",
    },
}
