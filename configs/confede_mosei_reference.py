"""ConFEDE on MOSEI with the hyper-parameters and the quirks of the ConFEDE repository.

    msa-jax train confede --data MOSEI/Processed/unaligned_50.pkl --text-encoder bert-base-uncased --preset confede_mosei_reference

As confede_mosei, and: partners by their places in the ranking, means over padding, BERT frozen for 49 epochs of the text, with
its dropout. Weight decay of audio and vision is AdamW's, as in the scripts of MOSEI. Selected is from epoch 51 on of the
text, 6 of audio and vision and 2 of the fusion, at the end of epochs; the code scores valid every 100 steps of the fusion. The
text stage has two warm-ups for one.
"""

PRESET = {
    "extends": "confede_mosei",
    "protocol": "reference",
    "options": {
        "text_head_share": 0.3267,
        "select_from": 2,
        "stage_text.select_from": 51,
        "stage_audio.select_from": 6,
        "stage_vision.select_from": 6,
    },
}
