"""ConFEDE on SIMS with the hyper-parameters and the quirks of the ConFEDE repository.

    msa-jax train confede --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese --preset confede_sims_reference

As confede_sims, and: partners by their places in the ranking, means over padding, coupled weight decay of audio and vision,
BERT frozen for 49 epochs of the text, with its dropout. Selected is from epoch 51 on of the text and of vision, 31 of audio
and 11 of the fusion, by MAE; the code selects the fusion by Acc-2. AMSGrad of audio and vision is not here, and the text
stage has two warm-ups for one.
"""

PRESET = {
    "extends": "confede_sims",
    "protocol": "reference",
    "options": {
        "text_head_share": 0.3267,
        "select_from": 11,
        "stage_text.select_from": 51,
        "stage_audio.select_from": 31,
        "stage_vision.select_from": 51,
        "stage_audio.weight_decay_mode": "coupled",
        "stage_vision.weight_decay_mode": "coupled",
    },
}
