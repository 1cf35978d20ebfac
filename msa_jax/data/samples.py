"""Samples to predict: what a network reads and no more. One split, without ids, without labels, from wherever it lies."""

import os
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from msa_jax import safe_pickle
from msa_jax.data import SYNTHETIC, load_dataset
from msa_jax.data.cmu import columns_of as cmu_columns
from msa_jax.data.cmu import is_bare_cmu, is_cmu
from msa_jax.data.columns import COLUMNS, FEATURES, LABELS, check_columns
from msa_jax.data.mmsa import columns_of, with_usual_splits
from msa_jax.data.native import read_card, read_npz
from msa_jax.data.padding import is_sequence, lengths_by_zeros, lengths_told, settle_padding
from msa_jax.data.schema import SPLITS, Dataset, Split
from msa_jax.data.table import read_table_samples
from msa_jax.data.table_rows import SUFFIXES
from msa_jax.data.values import Place, check_lengths, refuse_blank
from msa_jax.errors import DataWarning, InputError
from msa_jax.modalities import SEQUENCES
from msa_jax.paths import user_path

_ANY_LABEL = (-1e30, 1e30)


def load_split(source: str | os.PathLike[str] | Dataset, name: str | None = None) -> Split:
    """One split of a dataset; the others need not be there, nor ids, labels or lengths.

    Args:
      source: what `load_dataset` takes, a native folder or a feature file with fewer splits, an .npz file of one split, a
        .pkl whose dict is one split, or a table with a column `text`, whose rows are one split if it has no column `split`.
      name: "train", "valid" or "test"; by default "test", or the only one there is.

    Raises:
      InputError: there is no such split, or its columns are not what they should be.
    """
    if not isinstance(source, Dataset) and os.fspath(source) != SYNTHETIC:
        path = user_path(source)
        if path.suffix.lower() in SUFFIXES and path.is_file():
            rows = read_table_samples(path)
            chosen = _chosen(path, name, rows)
            if name is None and len(rows) > 1:
                _warn_of_others(path, chosen, rows)
            return rows[chosen]
        found = _splits_at(path)
        if found:
            chosen = _chosen(path, name, found)
            columns = _columns(found[chosen], source=str(path), split=chosen)
            return _repaired(columns, source=str(path), split=chosen)
    dataset = source if isinstance(source, Dataset) else load_dataset(source)
    return dataset.split(name or "test")


def check_samples(split: Split, names: Collection[str] | None = None) -> Split:
    """The columns of a split that somebody made, checked as a dataset's are; labels are not read.

    Args:
      split: with its lengths.
      names: the columns that are read; all by default. Those that are absent stay absent.

    Raises:
      InputError: a column of another shape or type or with other rows, a length beyond the array, or a NaN or infinite value.
    """
    columns = {key: value for key, value in split.columns().items() if names is None or key in names}
    for key in ("id", *LABELS):
        columns.pop(key, None)
    return _checked(columns, split.id, split.label, source="the data", split="given", refuse=True)


def read_texts(content: bytes, *, source: str) -> Split:
    """Samples of text alone, one on each line; the ids are the numbers of the lines, from 1. An empty line is an empty text.

    Raises:
      InputError: no line, or a line that is no UTF-8.
    """
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    lines = lines[:-1] if lines[-1] == b"" else lines
    if not lines:
        raise InputError(f"{source}: no text; expected one on each line")
    texts = []
    for number, line in enumerate(lines, start=1):
        try:
            texts.append(line.removesuffix(b"\r").decode("utf-8"))
        except UnicodeDecodeError:
            raise InputError(f"{source}: line {number} is not UTF-8 text") from None
    check_lengths(texts, lambda number: f"{source}: line {number + 1}")
    return Split(id=np.array([str(number + 1) for number in range(len(texts))]), raw_text=np.array(texts))


def _splits_at(path: Path) -> dict[str, Any]:
    """{split: its file, or its columns as MMSA has them}; empty where only `load_dataset` knows what the path means."""
    if path.is_dir():
        if (path / "card.json").is_file():
            read_card(path / "card.json")  # refuses a folder of a newer format
        return {split: path / f"{split}.npz" for split in SPLITS if (path / f"{split}.npz").is_file()}
    if not path.is_file():
        return {}
    if path.suffix.lower() == ".npz":
        return {path.stem: path}
    if path.suffix.lower() not in (".pkl", ".pickle"):
        return {}
    content = safe_pickle.load(path)
    if not isinstance(content, Mapping):
        return {}  # `load_dataset` says what is wrong with it
    content = with_usual_splits(content, path)
    found = {split: content[split] for split in SPLITS if isinstance(content.get(split), Mapping)}
    return found or (
        {path.stem: content} if {"raw_text", "text_bert", "text", "audio", "vision"} & set(content) else {}
    )


def _chosen(path: Path, name: str | None, found: Collection[str]) -> str:
    if name is None:
        name = next(iter(found)) if len(found) == 1 else "test"
    if name not in found:
        raise InputError(f"{path}: no split {name}; found {', '.join(found)}: choose with --split")
    return name


def _warn_of_others(path: Path, chosen: str, rows: Mapping[str, Split]) -> None:
    """A table has a column split for some other reason more often than a folder has three files."""
    others = [name for name in rows if name != chosen]
    warnings.warn(
        f"{path}: the {len(rows[chosen])} rows of split {chosen} are read, and {sum(len(rows[name]) for name in others)} of "
        f"{' and '.join(others)} are not; choose with --split",
        DataWarning,
        stacklevel=3,
    )


def _columns(found: Any, *, source: str, split: str) -> dict[str, Any]:
    """The columns of one split in a file of its own, or as a feature file has them; padding behind the steps."""
    place = Place(source=source, split=split)
    if isinstance(found, Mapping):
        refuse_blank(place, found, COLUMNS)
    if is_cmu(found) or is_bare_cmu(found):
        return cmu_columns({split: _with_any_labels(found)}, source=source)[split]
    columns = read_npz(found) if isinstance(found, Path) else _of_mmsa(found, place)
    refuse_blank(place, columns, COLUMNS)
    for name in SEQUENCES:
        if f"{name}_length" not in columns and is_sequence(columns.get(name)):
            columns[f"{name}_length"] = _lengths(columns, name)
    return settle_padding({split: columns}, source=source, zero_is_one=not isinstance(found, Path))[split]


def _lengths(columns: Mapping[str, Any], name: str) -> np.ndarray:
    """As `lengths_told`, but for frames behind the mask of the text: then it is not the one of this sequence."""
    told, by_zeros = lengths_told(columns, name), lengths_by_zeros(columns[name])
    return by_zeros if (by_zeros > told).any() else told


def _with_any_labels(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The columns of a split of a file of MulT, with NaN for labels if there are none."""
    if values.get("labels") is not None:
        return values
    rows = next((len(values[name]) for name in FEATURES if isinstance(values.get(name), np.ndarray)), 0)
    return {**values, "labels": np.full(rows, np.nan, np.float32)}


def _of_mmsa(values: Mapping[str, Any], place: Place) -> dict[str, np.ndarray]:
    values = {key: value for key, value in values.items() if value is not None}
    sized = (value for key, value in values.items() if key in {"id", *COLUMNS} and hasattr(value, "__len__"))
    rows = len(next(sized, ()))
    filled = {"id": [str(row) for row in range(rows)], "regression_labels": np.full(rows, np.nan, np.float32)}
    return columns_of({**filled, **values}, place)


def _repaired(columns: Mapping[str, Any], *, source: str, split: str) -> Split:
    """A split out of a file, NaN and infinite features replaced by 0."""
    given = dict(columns)
    for name in LABELS[1:]:
        given.pop(name, None)
    whole = Split(**{name: value for name, value in given.items() if name in COLUMNS})
    place = Place(source=source, split=split)
    label = whole.label
    if label.dtype.kind not in "fiu" or label.shape != (len(whole),):
        place.refuse("label", f"{label.dtype} {list(label.shape)}", str(COLUMNS["label"]))
    read = {name: value for name, value in whole.columns().items() if name not in ("id", "label")}
    unknown = {name: value for name, value in given.items() if name not in COLUMNS}
    return _checked({**read, **unknown}, whole.id, label, source=source, split=split, refuse=False)


def _checked(
    columns: Mapping[str, Any],
    ids: np.ndarray,
    label: np.ndarray,
    *,
    source: str,
    split: str,
    refuse: bool,
) -> Split:
    """`check_columns` where ids and labels may be anything."""
    rows = np.array([str(row) for row in range(len(ids))], np.str_)
    arrays, replaced = check_columns(
        {**columns, "label": np.zeros(len(ids), np.float32), "id": rows},
        source=source,
        split=split,
        label_range=_ANY_LABEL,
        finite=refuse,
    )
    for name, count in replaced.items():
        if count:
            warnings.warn(
                f"{source}: split {split}, column {name}: {count} NaN or infinite values replaced by 0",
                DataWarning,
                stacklevel=3,
            )
    return Split(**{**arrays, "id": np.asarray(ids).astype(np.str_), "label": label.astype(np.float32)})
