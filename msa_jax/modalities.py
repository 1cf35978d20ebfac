"""The three modalities, their letters, and the label columns of a dataset."""

MODALITIES = ("text", "audio", "vision")
SEQUENCES = ("audio", "vision")  # those that come as frames
LETTER = {"text": "t", "audio": "a", "vision": "v"}
MODALITY = {letter: name for name, letter in LETTER.items()}
UNIMODAL_LABELS = tuple(f"label_{letter}" for letter in MODALITY)  # human labels of one modality
LABELS = ("label", *UNIMODAL_LABELS)


def label_column(modality: str) -> str:
    """The column of the human labels of a modality: "label_t" for "text"."""
    return f"label_{LETTER[modality]}"
