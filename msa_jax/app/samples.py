"""The samples of a split in pages: sorted by one of their columns, and those alone that are asked for."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from msa_jax.errors import InputError
from msa_jax.report.errors import Errors

PAGE = 50  # samples
MOST = 500  # samples of one answer


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which samples, in which order.

    sort: a column; "error" is by its size. ascending: the lowest first. contains: in the id or the text, whatever the case.
    least_error: as a size. label_from, label_to: ends included. first: the first row, from 0. count: rows.
    """

    sort: str = "error"
    ascending: bool = False
    contains: str = ""
    least_error: float = 0.0
    label_from: float = float("-inf")
    label_to: float = float("inf")
    first: int = 0
    count: int = PAGE


def page_of(found: Errors, wanted: Wanted) -> dict[str, Any]:
    """{"columns", "rows": [[...]], "total": of those that are asked for, "all": of the split, "first", "remarks"}.

    A value that is not known is None, and sorted behind all others.

    Raises:
      InputError: an unknown column, or numbers that make no sense.
    """
    if wanted.sort not in found.columns:
        raise InputError(f"sort is {wanted.sort!r}; expected one of {', '.join(found.columns)}")
    if wanted.first < 0 or not 1 <= wanted.count <= MOST:
        raise InputError(f"first is {wanted.first}, count {wanted.count}; expected 0 or more, and 1 to {MOST}")
    rows = np.flatnonzero(_kept(found, wanted))
    rows = rows[_order(found, wanted, rows)]
    shown = rows[wanted.first : wanted.first + wanted.count]
    return {
        "columns": list(found.columns),
        "rows": [[_plain(values[row]) for values in found.columns.values()] for row in shown.tolist()],
        "total": len(rows),
        "all": len(found),
        "first": wanted.first,
        "remarks": list(found.differences),
    }


def _kept(found: Errors, wanted: Wanted) -> np.ndarray:
    """[N] bool."""
    label, error = found.columns["label"], np.abs(found.columns["error"])
    kept = (error >= wanted.least_error) & (label >= wanted.label_from) & (label <= wanted.label_to)
    if wanted.contains:
        part = wanted.contains.casefold()
        texts = [found.columns[name].tolist() for name in ("id", "text") if name in found.columns]
        kept &= np.array([any(part in one.casefold() for one in row) for row in zip(*texts, strict=True)], bool)
    return kept


def _order(found: Errors, wanted: Wanted, rows: np.ndarray) -> np.ndarray:
    values = found.columns[wanted.sort][rows]
    if values.dtype.kind in "UT" or values.dtype == object:
        order = np.argsort(values, kind="stable")
        return order if wanted.ascending else order[::-1]
    key = np.abs(values) if wanted.sort == "error" else values
    return np.argsort(key if wanted.ascending else -key, kind="stable")  # NaN last, either way


def _plain(value: Any) -> str | float | None:
    if isinstance(value, str):
        return str(value)
    return round(float(value), 4) if np.isfinite(value) else None
