"""Tables as CSV: predictions and labels of samples, with numbers as people write them."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def predictions_csv(
    ids: np.ndarray,
    label: np.ndarray | None,
    runs: Mapping[str, Mapping[str, np.ndarray]],
    *,
    text: np.ndarray | None = None,
) -> str:
    """`id`, `label` and `text` if given, then `{run}/{head}` for every run and head.

    A number is the shortest one that is the same float32; a label that is not known is empty.
    """
    columns: dict[str, Sequence[Any]] = {"id": ids}
    if label is not None:
        columns["label"] = [shortest(value) if np.isfinite(value) else "" for value in label]
    if text is not None:
        columns["text"] = text
    for run, heads in runs.items():
        columns |= {f"{run}/{head}": [shortest(value) for value in values] for head, values in heads.items()}
    return csv_of(columns)


def labels_csv(columns: Mapping[str, np.ndarray]) -> str:
    """`id`, then every other column: the human label and the generated ones of one run."""
    return csv_of(
        {name: column if name == "id" else [shortest(value) for value in column] for name, column in columns.items()}
    )


def csv_of(columns: Mapping[str, Sequence[Any]]) -> str:
    """The text of a table: the names, then a line for each row of cells; lines end with "\\n"."""
    lines = []
    for row in (columns, *zip(*columns.values(), strict=True)):
        file = io.StringIO()
        # Before Python 3.13 a "\r" in a cell is quoted only if lines end with one too; unquoted it ends the row for a reader.
        csv.writer(file, lineterminator="\r\n").writerow(row)
        lines.append(file.getvalue().removesuffix("\r\n") + "\n")
    return "".join(lines)


def shortest(value: Any) -> str:
    """A number as people write it: the shortest text that is the same float32, 1.2 and not 1.2000000476837158."""
    return str(np.float32(value))
