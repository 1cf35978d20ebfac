"""Features that somebody has already: CSV files of OpenFace and of openSMILE, one for each clip."""

import csv
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from msa_jax.errors import InputError
from msa_jax.extract.recipe import IMPORTED, Features

# Columns that are no feature, by modality; names in lower case.
_NO_FEATURE = {
    "audio": {"name", "frameindex", "frametime", "frame", "file", "start", "end", "class", "label"},
    "vision": {"frame", "face_id", "timestamp", "confidence", "success"},
}
_TIME = {"audio": ("frametime", "start"), "vision": ("timestamp",)}
_TOOL = {"audio": "openSMILE", "vision": "OpenFace"}
_SUCCESS = {"true": 1.0, "false": 0.0, "": 0.0}  # besides numbers; pandas writes True and False
_CLOCK = re.compile(r"(?:(\d+) days? )?(\d+):(\d\d):(\d\d(?:\.\d+)?)")


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureTable:
    """One clip's CSV. values: [T, d] f32. rate: frames a second. failed: [T], where the tool says that it found nothing."""

    names: tuple[str, ...]
    values: np.ndarray
    rate: float
    failed: np.ndarray

    @property
    def empty(self) -> int:
        """The number of frames that the tool found nothing in."""
        return int(self.failed.sum())

    def until(self, seconds: float) -> "FeatureTable":
        """The frames that begin before so many seconds."""
        most = math.ceil(min(seconds * self.rate - 1e-9, len(self.values)))
        return replace(self, values=self.values[:most], failed=self.failed[:most])

    def features(self, modality: str) -> Features:
        """The set that a dataset of such files has."""
        return Features(
            set=IMPORTED[modality],
            dim=len(self.names),
            rate=self.rate,
            tool=_TOOL[modality],
            tool_version="unknown",
            names=self.names,
        )


def find_table(folder: Path, video: str, clip: str) -> Path:
    """The CSV of a clip: VIDEO/CLIP.csv, VIDEO_CLIP.csv, VIDEO$_$CLIP.csv or, without a video, CLIP.csv in the folder.

    Args:
      folder: or the CSV itself.
      video, clip: their names; video is empty if it is not known.

    Raises:
      InputError: there is none.
    """
    if folder.is_file():
        return folder
    tried = [f"{video}/{clip}.csv", f"{video}_{clip}.csv", f"{video}$_${clip}.csv"] if video else [f"{clip}.csv"]
    for name in tried:
        if (folder / name).is_file():
            return folder / name
    raise InputError(f"{folder}: no {' or '.join(tried)}")


def read_feature_table(path: Path, modality: str) -> FeatureTable:
    """The frames of one clip, in the order of their times.

    Frames of OpenFace without success become zeros; of several faces the one with most frames is taken. Values that are not
    finite become 0.

    Args:
      path: the CSV, separated by commas, semicolons or tabs.
      modality: "audio" for openSMILE, "vision" for OpenFace.

    Raises:
      InputError: no such file, no features, cells that are no numbers, or a success that is neither 0 nor 1, true nor false.
    """
    header, rows = _cells(path)
    lower = [name.lower() for name in header]
    chosen = [number for number, name in enumerate(lower) if name not in _NO_FEATURE[modality]]
    time = next((lower.index(name) for name in _TIME[modality] if name in lower), None)
    if not chosen or time is None:
        raise InputError(
            f"{path}: no CSV of {_TOOL[modality]}: expected a column {' or '.join(_TIME[modality])} and features beside it"
        )
    rows = _of_one_face(rows, lower)
    try:
        values = np.array([[float(row[number]) for number in chosen] for _, row in rows], np.float32)
        times = np.array([_seconds(row[time]) for _, row in rows])
    except ValueError as error:
        raise InputError(f"{path}: {error}; expected numbers") from None
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    failed = np.zeros(len(rows), bool)
    if "success" in lower:
        column = lower.index("success")
        failed = np.array([not _succeeded(row[column], f"{path}, line {line}") for line, row in rows])
        values[failed] = 0
    order = np.argsort(times, kind="stable")
    steps = np.diff(times[order])
    step = float(np.median(steps)) if len(steps) else 1.0
    if step <= 0:
        raise InputError(f"{path}: several frames have the same time")
    return FeatureTable(
        names=tuple(header[number] for number in chosen),
        values=values[order],
        rate=round(1 / step, 2),
        failed=failed[order],
    )


def _cells(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The names of the columns, and the number of its line and the cells of each row."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        first = text.split("\n", 1)[0]
        reader = csv.reader(io.StringIO(text), delimiter=max(",;\t", key=first.count), strict=True)
        records = [(reader.line_num, record) for record in reader]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: no CSV ({error})") from None
    header = [cell.strip() for cell in records[0][1]] if records else []
    rows = [(line, row) for line, row in records[1:] if any(cell.strip() for cell in row)]
    if not rows:
        raise InputError(f"{path}: no rows")
    for line, row in rows:
        if len(row) != len(header):
            raise InputError(f"{path}: line {line} has {len(row)} cells, the first line {len(header)}")
    return header, rows


def _of_one_face(rows: list[tuple[int, list[str]]], names: Sequence[str]) -> list[tuple[int, list[str]]]:
    if "face_id" not in names:
        return rows
    column = names.index("face_id")
    ids = [row[column].strip() for _, row in rows]
    most = max(dict.fromkeys(ids), key=ids.count)
    return [row for row, face in zip(rows, ids, strict=True) if face == most]


def _succeeded(cell: str, where: str) -> bool:
    text = cell.strip().lower()
    try:
        value = _SUCCESS[text] if text in _SUCCESS else float(text)
    except ValueError:
        value = float("nan")
    if value not in (0, 1):
        raise InputError(f"{where}, column success: {cell.strip()!r}; expected 0 or 1, true or false")
    return value == 1


def _seconds(cell: str) -> float:
    """Seconds, or a time as pandas writes it, `0 days 00:00:00.010000`."""
    clock = _CLOCK.fullmatch(cell.strip())
    if clock is None:
        return float(cell)
    days, hours, minutes, seconds = clock.groups(default="0")
    return ((int(days) * 24 + int(hours)) * 60 + int(minutes)) * 60 + float(seconds)
