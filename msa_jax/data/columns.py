"""The columns of a split, and the checks that need one split alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

import numpy as np

from msa_jax.data.values import Place, is_unicode, numbers, texts
from msa_jax.modalities import LABELS, SEQUENCES

_LABEL_TOLERANCE = 1e-6  # relative to the width of the range: float32 cannot hold every end exactly


@dataclass(frozen=True, kw_only=True)
class Column:
    """What one column holds. `padded` is the time axis, which may be lengthened with zeros."""

    kind: Literal["text", "float", "int"]
    shape: tuple[str, ...]
    padded: int | None = None

    def __str__(self) -> str:
        return f"{_DTYPES[self.kind]} [{', '.join(self.shape)}]"


_DTYPES = {"text": "text", "float": "float32", "int": "int32"}

COLUMNS: Mapping[str, Column] = {
    "id": Column(kind="text", shape=("N",)),
    "label": Column(kind="float", shape=("N",)),
    "raw_text": Column(kind="text", shape=("N",)),
    "text_bert": Column(kind="int", shape=("N", "3", "T"), padded=2),
    "text": Column(kind="float", shape=("N", "T", "Dt"), padded=1),
    "audio": Column(kind="float", shape=("N", "A", "Da"), padded=1),
    "audio_length": Column(kind="int", shape=("N",)),
    "vision": Column(kind="float", shape=("N", "V", "Dv"), padded=1),
    "vision_length": Column(kind="int", shape=("N",)),
    "label_t": Column(kind="float", shape=("N",)),
    "label_a": Column(kind="float", shape=("N",)),
    "label_v": Column(kind="float", shape=("N",)),
}
FEATURES = ("text", "audio", "vision")
MODALITY_COLUMNS = {"text": ("raw_text", "text_bert", "text"), "audio": ("audio",), "vision": ("vision",)}


def columns_of(modality: str) -> tuple[str, ...]:
    """The columns that belong to a modality: those that carry it, and its lengths."""
    return tuple(name for name in (*MODALITY_COLUMNS[modality], f"{modality}_length") if name in COLUMNS)


def check_columns(
    columns: Mapping[str, Any], *, source: str, split: str, label_range: tuple[float, float], finite: bool = False
) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """One split, checked: float32, int32 and text arrays, and for each feature column how many values were not finite.

    NaN and infinite features are replaced by 0, in a copy. The arrays given are never changed.

    Args:
      columns: by name. source, split: what to call the data in messages. label_range: of the labels.
      finite: refuse NaN and infinite features instead.

    Raises:
      InputError: naming source, split, column and row, what was found and what was expected.
    """
    place = Place(source=source, split=split)
    present = {name: value for name, value in columns.items() if value is not None}
    _check_names(place, present)
    arrays = {name: _typed(place, name, present[name]) for name in COLUMNS if name in present}
    _check_rows(place, arrays)
    for name in LABELS:
        if name in arrays:
            _check_label(place, name, arrays, label_range)
    for name in SEQUENCES:
        if name in arrays:
            _check_lengths(place, name, arrays)
    if "text_bert" in arrays:
        _check_text_bert(place, arrays)
    replaced = {name: _replace_non_finite(place, arrays, name, refuse=finite) for name in FEATURES if name in arrays}
    return {name: _stored(array, COLUMNS[name].kind) for name, array in arrays.items()}, replaced


def _check_names(place: Place, present: Mapping[str, Any]) -> None:
    for name in present:
        if name not in COLUMNS:
            close = get_close_matches(name, COLUMNS, n=1)
            hint = f"did you mean {close[0]}? The columns are" if close else "one of"
            place.refuse(name, "unknown column", f"{hint} {', '.join(COLUMNS)}")
    for name in ("id", "label"):
        if name not in present:
            place.refuse(name, "missing column", f"{COLUMNS[name]}")
    for name in SEQUENCES:
        for there, absent in ((name, f"{name}_length"), (f"{name}_length", name)):
            if there in present and absent not in present:
                place.refuse(absent, "missing column", f"{COLUMNS[absent]}, because {there} is present")


def _typed(place: Place, name: str, value: Any) -> np.ndarray:
    """`value` as an array of the right rank and kind, in its own precision (a cast could hide an infinity)."""
    column = COLUMNS[name]
    array = texts(place, name, value) if column.kind == "text" else numbers(place, name, value, str(column))
    admitted = {"text": "U", "float": "fiu", "int": "iu"}[column.kind]
    if array.dtype.kind not in admitted:
        place.refuse(name, f"type {array.dtype}", str(column))
    fits = array.ndim == len(column.shape) and all(
        size == int(letter) for size, letter in zip(array.shape, column.shape, strict=True) if letter.isdigit()
    )
    if not fits:
        place.refuse(name, f"shape {list(array.shape)}", str(column))
    if len(array) == 0:
        place.refuse(name, "no rows", "at least one")
    if array.size == 0:
        place.refuse(name, f"shape {list(array.shape)}", f"{column}, no size zero")
    if column.kind == "text":
        row = next((row for row, text in enumerate(array.tolist()) if not is_unicode(text)), None)
        if row is not None:
            place.refuse(name, "half a surrogate pair, which no file can hold", "Unicode text", row=row)
    if column.kind == "int":
        limits = np.iinfo(np.int32)
        row = _first((array < limits.min) | (array > limits.max))
        if row is not None:
            place.refuse(name, "an integer beyond 32 bits", str(column), row=row)
    return array


def _check_rows(place: Place, arrays: Mapping[str, np.ndarray]) -> None:
    id = arrays["id"]
    for name, array in arrays.items():
        if len(array) != len(id):
            place.refuse(name, f"{len(array)} rows", f"{len(id)}, as many as column id has")
    row = _first(np.char.str_len(id) == 0)
    if row is not None:
        place.refuse("id", "an empty id", "text", row=row)
    distinct, first = np.unique(id, return_index=True)
    if len(distinct) < len(id):
        row = int(np.setdiff1d(np.arange(len(id)), first)[0])
        earlier = int(first[np.searchsorted(distinct, id[row])])
        place.refuse("id", f"the id of row {earlier} again", "ids that differ", row=row, id=id[row])


def _check_label(place: Place, name: str, arrays: Mapping[str, np.ndarray], label_range: tuple[float, float]) -> None:
    label, (low, high) = arrays[name].astype(np.float64), label_range
    slack = _LABEL_TOLERANCE * (high - low)
    row = _first(~((label >= low - slack) & (label <= high + slack)))  # NaN compares false
    if row is not None:
        place.refuse(
            name, f"{label[row]:g}", f"a number in label_range [{low:g}, {high:g}]", row=row, id=arrays["id"][row]
        )


def _check_lengths(place: Place, name: str, arrays: Mapping[str, np.ndarray]) -> None:
    length, steps = arrays[f"{name}_length"], arrays[name].shape[1]
    row = _first((length < 1) | (length > steps))
    if row is not None:
        place.refuse(
            f"{name}_length",
            str(length[row]),
            f"1 to {steps}, the steps that {name} has",
            row=row,
            id=arrays["id"][row],
        )


def _check_text_bert(place: Place, arrays: Mapping[str, np.ndarray]) -> None:
    ids, mask, types = (arrays["text_bert"][:, part] for part in range(3))
    rising = np.diff(mask, axis=1) > 0
    for wrong, found, expected in (
        (ids < 0, "a negative token id", "token ids in [:, 0]"),
        ((mask != 0) & (mask != 1), "a mask that is neither 0 nor 1", "the attention mask in [:, 1]"),
        (types < 0, "a negative token type", "token types in [:, 2]"),
        (mask[:, :1] != 1, "a mask that does not begin with 1", "at least one token, padding behind the tokens"),
        (rising, "a token behind padding", "a mask of ones, then zeros"),
    ):
        row = _first(wrong)
        if row is not None:
            place.refuse("text_bert", found, expected, row=row, id=arrays["id"][row])
    if "text" in arrays and arrays["text"].shape[1] != mask.shape[1]:
        place.refuse("text", f"{arrays['text'].shape[1]} steps", f"{mask.shape[1]}, as many as text_bert has")


def _first(wrong: np.ndarray) -> int | None:
    """The first row with a True anywhere in it."""
    rows = np.flatnonzero(wrong.reshape(len(wrong), -1).any(axis=1))
    return int(rows[0]) if len(rows) else None


def _replace_non_finite(place: Place, arrays: dict[str, np.ndarray], name: str, *, refuse: bool) -> int:
    """Makes a feature column float32, with 0 for what is not finite, and counts these values; or refuses them."""
    with np.errstate(over="ignore"):  # a float64 beyond float32's range becomes infinite, and is counted as that
        array = arrays[name].astype(np.float32, copy=False)
    wrong = ~np.isfinite(array)
    count = int(np.count_nonzero(wrong))
    if count and refuse:
        place.refuse(name, f"{count} NaN or infinite values, the first here", "finite numbers", row=_first(wrong))
    arrays[name] = np.where(wrong, np.float32(0), array) if count else array
    return count


def _stored(array: np.ndarray, kind: str) -> np.ndarray:
    if kind == "text":
        # The narrowest type that holds the column: equal text then is an equal array, wherever it came from.
        return array.astype(f"<U{max(1, int(np.char.str_len(array).max()))}", copy=False)
    return np.ascontiguousarray(array, np.float32 if kind == "float" else np.int32)
