"""Where the frames of padded sequences lie: padding in front is moved behind, and what else is odd is counted."""

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from msa_jax.errors import DataWarning
from msa_jax.modalities import SEQUENCES

_BLOCK = 256  # rows looked at together, so that little memory is taken beside a large array


def filled_frames(sequence: np.ndarray) -> np.ndarray:
    """Which frames are not all zero.  # [N, L, D] -> [N, L] bool"""
    blocks = [(sequence[start : start + _BLOCK] != 0).any(axis=2) for start in range(0, len(sequence), _BLOCK)]
    return np.concatenate(blocks) if blocks else np.zeros(sequence.shape[:2], bool)


def lengths_by_zeros(sequence: np.ndarray) -> np.ndarray:
    """Frames of each row up to the zeros at its end; from the zeros in front, where more rows begin than end with them.

    A row of zeros alone has one.  # [N, L, D] -> [N] i32
    """
    filled = filled_frames(sequence)
    return lengths_of(filled, in_front=padded_in_front([filled]))


def lengths_told(columns: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """Valid steps of each row of a sequence: as recorded, 0 among them, or as the text or the zeros at the end tell.

    Args:
      columns: of a split; the array of this name is [N, L, D].
      name: "audio" or "vision".

    Returns:
      [N] i32
    """
    sequence, steps = columns[name], columns[name].shape[1]
    if f"{name}_length" in columns:
        return columns[f"{name}_length"]
    text_bert = columns.get("text_bert")
    if text_bert is not None and text_bert.shape == (len(sequence), 3, steps):
        return (text_bert[:, 1] != 0).sum(axis=1).astype(np.int32).clip(1, steps)
    return lengths_by_zeros(sequence)


def padded_in_front(splits: Iterable[np.ndarray]) -> bool:
    """Whether more rows begin with empty frames than end with them.  # [N, L] bool each"""
    left = right = 0
    for filled in splits:
        if filled.size:
            begins, ends = filled[:, 0], filled[:, -1]
            left, right = left + int((~begins & ends).sum()), right + int((begins & ~ends).sum())
    return left > right


def lengths_of(filled: np.ndarray, *, in_front: bool) -> np.ndarray:
    """Frames of each row from the first filled one to the end, or from the beginning to the last filled one; 1 at least.

    Args:
      filled: which frames are not empty.  # [N, L] bool
      in_front: whether the padding is.

    Returns:
      [N] i32
    """
    if not filled.size:
        return np.ones(len(filled), np.int32)
    counted = filled if in_front else filled[:, ::-1]
    return np.where(filled.any(axis=1), filled.shape[1] - counted.argmax(axis=1), 1).astype(np.int32)


def settle_padding(
    splits: Mapping[str, Mapping[str, Any]], *, source: str, zero_is_one: bool = False
) -> dict[str, dict[str, Any]]:
    """The splits, with sequences that begin at the first step. Arrays given are never changed.

    A row of audio or vision is padded in front if its frames lie in the last `length` steps and not in the first ones. Such
    rows are shifted if more rows of the column are so than are padded behind. Frames that are not zero and lie behind the
    length are counted, and so are frames of zeros within it where these are more than half: one `DataWarning` for a column.
    `text` has no length: it is taken from the zeros, if no mask of `text_bert` says where the tokens lie. Columns of wrong
    shapes are left for `validate` to refuse.

    Args:
      splits: columns by split. source: what to call the data in messages.
      zero_is_one: lengths of 0 become 1, and are counted in the warning; otherwise they are left for `validate` too.
    """
    settled = {name: dict(columns) for name, columns in splits.items()}
    for modality in SEQUENCES:
        zeros = _lengthened(settled, modality) if zero_is_one else 0
        _settle(settled, modality, source, zeros)
    if not any("text_bert" in columns for columns in settled.values()):
        _settle_text(settled, source)
    return settled


def _settle_text(splits: Mapping[str, dict[str, Any]], source: str) -> None:
    filled = {
        name: filled_frames(columns["text"]) for name, columns in splits.items() if is_sequence(columns.get("text"))
    }
    if not padded_in_front(_without_full(frames, splits[name]) for name, frames in filled.items()):
        return
    moved = {}
    for name, frames in filled.items():
        rows = ~frames[:, 0] & frames[:, -1] & ~_full(splits[name], frames.shape[1])
        if rows.any():
            array = splits[name]["text"].copy()
            array[rows] = shifted(array[rows], lengths_of(frames[rows], in_front=True))
            splits[name]["text"] = array
            moved[name] = int(rows.sum())
    total = sum(len(frames) for frames in filled.values())
    warnings.warn(f"{source}: column text: {_said_moved(moved, total)}", DataWarning, stacklevel=4)


def _without_full(frames: np.ndarray, columns: Mapping[str, Any]) -> np.ndarray:
    return frames[~_full(columns, frames.shape[1])]


def _full(columns: Mapping[str, Any], steps: int) -> np.ndarray:
    """Which rows of `text` have no padding, as audio or vision of as many steps tells: a zero there is a word.  # [N] bool"""
    rows = len(columns["text"])
    there = [name for name in SEQUENCES if _well_formed(columns, name)]
    lengths = [columns[f"{name}_length"] for name in there if columns[name].shape[:2] == (rows, steps)]
    return np.any([np.zeros(rows, bool), *(length == steps for length in lengths)], axis=0)


def _lengthened(splits: Mapping[str, dict[str, Any]], modality: str) -> int:
    """Makes 1 of lengths of 0, and counts them."""
    count = 0
    for columns in splits.values():
        length = columns.get(f"{modality}_length")
        if isinstance(length, np.ndarray) and length.dtype.kind in "iu":
            columns[f"{modality}_length"] = np.where(length == 0, 1, length)
            count += int((length == 0).sum())
    return count


def _settle(splits: Mapping[str, dict[str, Any]], modality: str, source: str, zeros: int) -> None:
    filled = {
        name: filled_frames(columns[modality]) for name, columns in splits.items() if _well_formed(columns, modality)
    }
    lengths = {name: splits[name][f"{modality}_length"] for name in filled}
    in_front = {}
    left = right = 0
    for name, frames in filled.items():
        length, steps = lengths[name][:, None], frames.shape[1]
        place = np.arange(steps)
        behind, early = (frames & (place >= length)).any(axis=1), (frames & (place < steps - length)).any(axis=1)
        in_front[name] = behind & ~early
        left, right = left + int(in_front[name].sum()), right + int((early & ~behind).sum())
    moved = {}
    if left > right:
        for name, rows in in_front.items():
            if rows.any():
                filled[name][rows] = shifted(filled[name][rows], lengths[name][rows])
                array = splits[name][modality].copy()
                array[rows] = shifted(array[rows], lengths[name][rows])
                splits[name][modality] = array
                moved[name] = int(rows.sum())
    found = _oddities(filled, lengths, moved)
    if zeros and lengths:
        rows = sum(map(len, lengths.values()))
        found.insert(
            0,
            f"in {zeros} of {rows} samples the recorded length is 0; their first frame is kept, so that they have one",
        )
    if found:
        warnings.warn(f"{source}: column {modality}: {'; '.join(found)}", DataWarning, stacklevel=5)


def _oddities(
    filled: Mapping[str, np.ndarray], lengths: Mapping[str, np.ndarray], moved: Mapping[str, int]
) -> list[str]:
    rows = sum(len(frames) for frames in filled.values())
    lost = rows_lost = empty = within = 0
    for name, frames in filled.items():
        inside = np.arange(frames.shape[1]) < lengths[name][:, None]
        behind = frames & ~inside
        lost, rows_lost = lost + int(behind.sum()), rows_lost + int(behind.any(axis=1).sum())
        empty, within = empty + int((inside & ~frames).sum()), within + int(inside.sum())
    found = []
    if moved:
        found.append(_said_moved(moved, rows))
    if lost:
        found.append(
            f"{lost} non-zero frames behind the recorded length (in {rows_lost} of {rows} samples) are not used"
        )
    if 2 * empty > within:
        found.append(f"{empty} of {within} frames within the length are zero")
    return found


def _said_moved(moved: Mapping[str, int], rows: int) -> str:
    each = ", ".join(f"{count} in {name}" for name, count in moved.items())
    return (
        f"in {sum(moved.values())} of {rows} samples the padding was in front; it was moved behind the frames ({each})"
    )


def is_sequence(sequence: Any) -> bool:
    """Whether something is an array [N, L, D] of numbers, with no size zero."""
    return (
        isinstance(sequence, np.ndarray)
        and sequence.ndim == 3
        and sequence.dtype.kind in "fiu"
        and 0 not in sequence.shape
    )


def _well_formed(columns: Mapping[str, Any], modality: str) -> bool:
    length = columns.get(f"{modality}_length")
    sequence = columns.get(modality)
    if not is_sequence(sequence) or not isinstance(length, np.ndarray) or length.dtype.kind not in "iu":
        return False
    return length.shape == (len(sequence),) and bool(((length >= 1) & (length <= sequence.shape[1])).all())


def shifted(array: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Each row turned so that its last `length` steps come first.  # [n, L, ...], [n] -> [n, L, ...]"""
    steps = array.shape[1]
    return array[np.arange(len(array))[:, None], (np.arange(steps) - length[:, None]) % steps]
