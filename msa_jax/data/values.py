"""What a file or a person gives for a column, as an array of texts or of numbers; what is neither is refused by its row."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from msa_jax.errors import InputError

LARGEST_TEXTS = 4 * 2**30  # bytes of all texts as an array
MOST_SHARED = 1000  # times that lists may stand for more values than they hold
_SMALL = 2**23  # values that lists may always stand for


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where in the data something is: part of every error about it."""

    source: str
    split: str

    def refuse(self, column: str, found: str, expected: str, *, row: int | None = None, id: Any = None) -> NoReturn:
        at = f", row {row}" if row is not None else ""
        if id is not None:
            at += f" (id {str(id)!r})"
        raise InputError(f"{self.source}: split {self.split}, column {column}{at}: {found}; expected {expected}")


def check_lengths(texts: Sequence[str], where: Callable[[int], str]) -> None:
    """Raises InputError where texts take too much memory as an array, in which each takes that of the longest.

    where: (number of a text) -> what to call it.
    """
    longest = max(range(len(texts)), key=lambda number: len(texts[number]), default=0)
    if texts and 4 * len(texts) * len(texts[longest]) > LARGEST_TEXTS:
        most = LARGEST_TEXTS // (4 * len(texts))
        raise InputError(
            f"{where(longest)}: {len(texts[longest]):,} characters; expected at most {most:,} in {len(texts):,} texts"
        )


def texts(place: Place, name: str, value: Any, *, whole_numbers: bool = False) -> np.ndarray:
    """[N] text. Every element is looked at, because numpy would make text of anything: of NaN the word "nan".

    Args:
      value: an array or list of texts, or of bytes that are UTF-8.
      whole_numbers: whether these are admitted too, as they are written.

    Raises:
      InputError: an element is something else.
    """
    if isinstance(value, np.ndarray) and value.dtype.kind == "U":
        return value
    shape = getattr(value, "shape", None)
    if shape is not None and len(shape) != 1:
        place.refuse(name, f"shape {list(shape)}", "text [N]")
    if isinstance(value, (str, bytes, Mapping)) or not hasattr(value, "__len__"):
        place.refuse(name, type(value).__name__, "text [N]")
    found = []
    for row, element in enumerate(value.tolist() if isinstance(value, np.ndarray) else value):
        if isinstance(element, bytes):
            try:
                element = element.decode()
            except UnicodeDecodeError:
                place.refuse(name, "bytes that are not UTF-8", "text", row=row)
        if not isinstance(element, str) and not (whole_numbers and type(element) is int):
            small = isinstance(element, float) or (isinstance(element, int) and abs(element) < 2**64)
            number = f" {element}" if small else ""
            joined = ", its words joined" if isinstance(element, (list, tuple)) else ""
            place.refuse(name, f"{type(element).__name__}{number}", f"text{joined}", row=row)
        try:
            found.append(str(element))
        except ValueError:
            place.refuse(name, "a whole number of thousands of digits", "text", row=row)
    check_lengths(found, lambda row: f"{place.source}: split {place.split}, column {name}, row {row}")
    return np.array(found, np.str_)


def numbers(place: Place, name: str, value: Any, expected: str) -> np.ndarray:
    """Numbers in rows of one shape, as an array of rank 1 at least. Raises InputError where a row is something else."""
    if isinstance(value, (str, bytes, Mapping)) or not hasattr(value, "__len__") or getattr(value, "ndim", 1) == 0:
        place.refuse(name, type(value).__name__, expected)
    if isinstance(value, np.ndarray) and value.dtype.kind not in "fiubO":
        place.refuse(name, f"type {value.dtype}", expected)
    _refuse_shared(place, name, value)
    try:
        array = np.asarray(value)
        if array.dtype.kind in "fiub":
            return array
    except (ValueError, TypeError, OverflowError):
        pass
    rows = []
    for row, element in enumerate(value):
        try:
            array = np.asarray(element.tolist() if isinstance(element, np.ndarray) else element)
        except (ValueError, TypeError, OverflowError):
            place.refuse(name, "lists of different lengths", expected, row=row)
        if array.dtype.kind not in "fiub":
            found = type(element).__name__ if array.ndim == 0 else "something other than numbers"
            place.refuse(name, found, expected, row=row)
        if rows and array.shape != rows[0].shape:
            frames = array.ndim == rows[0].ndim == 2 and array.shape[1] == rows[0].shape[1]
            way = (
                f": zeros behind the frames of the shorter ones, and {name}_lengths with how many are real"
                if frames
                else ""
            )
            found = f"shape {list(array.shape)} where row 0 has {list(rows[0].shape)}"
            place.refuse(name, found, f"{expected}{way}", row=row)
        rows.append(array)
    return np.stack(rows) if rows else np.zeros(0, np.float32)


def refuse_blank(place: Place, columns: Mapping[str, Any], names: Collection[str]) -> None:
    """Raises InputError if one of these columns has rows without values: a file of a few bytes may have any number of them."""
    for name, value in columns.items():
        if name in names and isinstance(value, np.ndarray) and value.size == 0 and value.ndim and len(value):
            place.refuse(name, f"shape {list(value.shape)}", "no size zero")


def _refuse_shared(place: Place, name: str, value: Any) -> None:
    """Raises InputError if a few lists that hold each other many times would fill the memory as an array."""
    try:
        values, stored = _Counted().of(value)
    except RecursionError:
        place.refuse(name, "lists that are nested too deep", "numbers")
    if values > _SMALL and values > MOST_SHARED * stored:
        place.refuse(name, f"lists that hold the same lists again and again, {values:.0e} values in all", "numbers")


class _Counted:
    """Counts what lists stand for, each list once."""

    def __init__(self) -> None:
        self._known: dict[int, float] = {}
        self._stored = 0

    def of(self, value: Any) -> tuple[float, int]:
        """Values as an array would have them, infinitely many if a list holds itself; and those that there are."""
        return self._values(value), self._stored

    def _values(self, part: Any) -> float:
        if not isinstance(part, _LISTS):
            return 1
        if id(part) not in self._known:
            flat = part.ravel() if isinstance(part, np.ndarray) else part
            self._known[id(part)] = math.inf  # for those inside it
            self._stored += len(flat)
            plain = (isinstance(flat, np.ndarray) and flat.dtype.kind != "O") or not any(
                issubclass(kind, _LISTS) for kind in set(map(type, flat))
            )
            self._known[id(part)] = len(flat) if plain else sum(map(self._values, flat))
        return self._known[id(part)]


_LISTS = (list, tuple, np.ndarray)


def is_unicode(text: str) -> bool:
    """Whether a file can hold the text: half a surrogate pair cannot be encoded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
