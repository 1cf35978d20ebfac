"""Word-aligned features: one frame for each token of a text, the mean over the time in which its word is said."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from msa_jax.data.tokenize import Tokenizer, build_tokenizer, load_tokenizer
from msa_jax.errors import InputError
from msa_jax.extract.recipe import WordAlignment

Pieces = Sequence[tuple[float, float, str]]

_LATE = 0.5  # seconds after the end of a clip at which a word may begin
SCRATCH = "scratch"  # as the option text_encoder has it


def tokenizer_of(text_encoder: str, texts: Sequence[str]) -> Tokenizer:
    """The tokenizer that training with this text encoder has.

    Args:
      text_encoder: a folder, a name on the Hugging Face hub, or "scratch".
      texts: of the training split, of which "scratch" learns its tokens.

    Raises:
      InputError: no such encoder, or no tokenizer in it.
    """
    if text_encoder == SCRATCH:
        return build_tokenizer(texts)
    from msa_jax.encoders.bert_weights import resolve_source  # imports JAX, which extraction does without

    return load_tokenizer(resolve_source(text_encoder))


def alignment_to(tokenizer: Tokenizer, text_encoder: str, max_tokens: int) -> WordAlignment:
    """What a recipe says of frames that are aligned with the tokens of this tokenizer."""
    return WordAlignment(
        text_encoder=text_encoder, vocabulary_sha256=tokenizer.vocabulary_sha256(), max_tokens=max_tokens
    )


def timed_pieces(pieces: Pieces, *, seconds: float, most_seconds: float) -> list[tuple[float, float, str]]:
    """The pieces of a clip that is read up to `most_seconds`.

    Args:
      pieces: (start, end, words). seconds: of the whole clip.

    Raises:
      InputError: there is none, or one does not last from a time in the clip to a later one.
    """
    for start, end, text in pieces:
        if not (0 <= start <= end and math.isfinite(end)):
            raise InputError(f"{text!r} is said from {start:g} to {end:g} s; expected a time and a later one")
        if start > seconds + _LATE:
            raise InputError(f"{text!r} is said at {start:g} s, and the clip ends after {seconds:g} s")
    kept = [piece for piece in pieces if piece[0] < most_seconds and piece[2].strip()]
    if not kept:
        raise InputError("no words with times" + (f" in its first {most_seconds:g} s" if pieces else ""))
    return kept


def align(
    pieces: Pieces, frames: Mapping[str, tuple[np.ndarray, float]], tokenizer: Tokenizer, *, max_tokens: int
) -> tuple[str, dict[str, np.ndarray]]:
    """A text, and for each of its tokens one frame of each modality.

    The tokens of a word have the same frame, and so have the words of a piece, which are said at the same time as far as
    anyone knows. A word between two frames has the one that comes next. The special tokens have a frame of zeros.

    Args:
      pieces: (start, end, words) in seconds, in their order.
      frames: {modality: ([L, d], frames a second)}, counted from 0 s.
      tokenizer: T tokens, the special ones included. max_tokens: T at most.

    Returns:
      The words of the pieces, and {modality: [T, d] f32}.
    """
    kept = [(start, end, " ".join(words.split())) for start, end, words in pieces]
    kept = [piece for piece in kept if piece[2]]
    text = text_of(kept)
    lengths = [len(words) + 1 for _, _, words in kept]  # a space between two pieces
    first = np.cumsum([0, *lengths])[:-1]  # where in the text each piece begins
    spans = tokenizer.spans(text, max_tokens=max_tokens)
    # A token may begin with the space before its word, and then ends within the word.
    of_token = [-1 if span is None else _piece_at(first, max(span[1] - 1, span[0])) for span in spans]
    aligned = {}
    for name, (array, rate) in frames.items():
        means = [_mean(frames_between(array, rate, start, end)) for start, end, _ in kept]
        table = np.stack([*means, np.zeros(array.shape[1], np.float32)])  # its last row is that of special tokens
        aligned[name] = table[of_token]
    return text, aligned


def text_of(pieces: Pieces) -> str:
    """The words of the pieces, as `align` gives them."""
    return " ".join(" ".join(words.split()) for _, _, words in pieces if words.strip())


def frames_between(array: np.ndarray, rate: float, start: float, end: float) -> np.ndarray:
    """The frames of [L, d] from start to end in seconds, one at least."""
    first = round(min(start * rate, len(array) - 1))
    return array[first : round(max(min(end * rate, len(array)), first + 1))]


def _piece_at(first: np.ndarray, place: int) -> int:
    return int(np.searchsorted(first, place, side="right")) - 1


def _mean(frames: np.ndarray) -> np.ndarray:
    return frames.mean(0, dtype=np.float64).astype(np.float32)
