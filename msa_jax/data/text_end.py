"""How many steps of precomputed text features a sample has: as a mask, the frames of the same words, or zeros tell."""

from collections.abc import Iterable
from typing import Literal, get_args

import numpy as np

from msa_jax.data.padding import filled_frames, lengths_of
from msa_jax.data.schema import Split
from msa_jax.errors import InputError
from msa_jax.modalities import SEQUENCES

TextEnd = Literal["mask", "frames", "zeros"]
TEXT_ENDS = get_args(TextEnd)


def text_end_of(splits: Iterable[Split]) -> TextEnd:
    """What tells where the texts of a dataset end.

    Returns:
      "mask": the mask of `text_bert`, and nothing else, because padding in `text` is not zero.
      "frames": the length of audio and vision, whose steps are the words of the text. The vector of an unknown word is
        zeros, also if it is the last one.
      "zeros": the last step that is not all zeros, with which a mask agrees if there is one.
    """
    splits = tuple(splits)
    if any(_has_mask(split) for split in splits):
        agree = all(_has_mask(split) and np.array_equal(_by_mask(split), _by_zeros(split)) for split in splits)
        return "zeros" if agree else "mask"
    return "frames" if all(_same_words(split) for split in splits) else "zeros"


def text_mask(split: Split, end: TextEnd | None, *, source: str) -> np.ndarray:
    """The steps of `text` that are a sample's own.  # [N, T] int32

    Args:
      split: with `text`. source: what to call it in messages.
      end: what told it in training; None if nobody knows.

    Raises:
      InputError: a mask told it, and there is none.
    """
    if end != "frames" and _has_mask(split):
        return split.text_bert[:, 1]
    if end == "mask":
        raise InputError(
            f"{source}: column text_bert is missing; in training its mask said where each text ends, because padding in "
            "text was not zero. Expected text_bert [N, 3, T] with as many steps as text; only its mask is read"
        )
    count, steps = _by_zeros(split), split.text.shape[1]
    frames = _frames(split) if end == "frames" else None
    if frames is not None:
        count = np.maximum(count, np.minimum(frames, steps))
    return (np.arange(steps) < count[:, None]).astype(np.int32)


def _has_mask(split: Split) -> bool:
    return split.text_bert is not None and split.text_bert.shape[-1] == split.text.shape[1]


def _by_mask(split: Split) -> np.ndarray:
    return split.text_bert[:, 1].sum(1)


def _by_zeros(split: Split) -> np.ndarray:
    return lengths_of(filled_frames(split.text), in_front=False)


def _frames(split: Split) -> np.ndarray | None:
    """[N] frames of each sample, of audio and vision that have as many steps as text; None if neither has."""
    steps = split.text.shape[1]
    there = [name for name in SEQUENCES if getattr(split, name) is not None and getattr(split, name).shape[1] == steps]
    lengths = [getattr(split, f"{name}_length") for name in there]
    return np.max(lengths, axis=0) if lengths else None


def _same_words(split: Split) -> bool:
    """Whether audio and vision have a frame for each word: never fewer than the text is known to have, and mostly as many."""
    frames, count = _frames(split), _by_zeros(split)
    lengths = [getattr(split, f"{name}_length") for name in SEQUENCES if getattr(split, name) is not None]
    if frames is None or any(not np.array_equal(frames, length) for length in lengths):
        return False
    return bool((frames >= count).all()) and 2 * int((frames == count).sum()) > len(frames)
