"""One size for each modality, as an option."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """A size for each modality.

    Modalities:
      text: Text.
      audio: Audio.
      vision: Vision.
    """

    text: int
    audio: int
    vision: int
