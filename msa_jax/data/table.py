"""A table of texts and labels as a dataset: .csv, .tsv, .jsonl or .parquet with the columns text and label, id and split."""

import math
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from msa_jax.data.identity import corpus_said, entries_of, guessed, said
from msa_jax.data.schema import HELD_OUT, SPLIT_OF, SPLITS, Card, Dataset, Split, check_card, validate
from msa_jax.data.table_rows import READERS, Row, read_rows
from msa_jax.data.values import check_lengths, is_unicode
from msa_jax.data.videos import SEPARATOR, groups_of
from msa_jax.errors import DataWarning, InputError
from msa_jax.paths import shown, user_path

COLUMNS = ("id", "text", "label", "split")
_NO_LABEL = {"na", "n/a", "nan", "null", "none", "?", "-"}  # as people and programs write that there is none
_SHARES = {"test": 0.2, "valid": 0.1}  # at least one each; the rest is for training


def read_table(
    path: str | Path,
    *,
    name: str | None = None,
    language: str | None = None,
    label_range: tuple[float, float] | None = None,
    metrics: str | None = None,
    split_seed: int | None = None,
) -> Dataset:
    """The dataset in a table whose columns are `text`, `label` and, if there are, `id` and `split`; others are not used.

    Text files are UTF-8, with or without a byte order mark; their first line names the columns (in .jsonl each line is an
    object). A .csv may be separated by commas, semicolons or tabs. Without ids these are the numbers of the rows, from 1.
    `split` is train, valid (val, validation, dev) or test. Without that column the rows are shuffled by `split_seed`: 20 %
    are test and 10 % valid, rounded and at least one row each, the rest is train. If all ids have the form VIDEO$_$CLIP and
    there are three videos or more, whole videos are shuffled instead, since samples of a video are alike.

    Args:
      path: the table. A .parquet needs pandas and pyarrow.
      name, language, label_range, metrics: of the card. By default the name of the file; English, or Chinese where most
        letters are; the smallest usual range that holds the labels; and "regression". A guess is said in a warning.
      split_seed: of the splits that are made here, not negative; 0 by default. Only for a table without a column `split`.

    Raises:
      InputError: naming file, line and column, what was found and what was expected.
    """
    path = user_path(path)
    words = said(name=name, language=language, label_range=label_range, metrics=metrics)
    if split_seed is not None and (type(split_seed) is not int or split_seed < 0):
        raise InputError(f"split_seed is {split_seed!r}; expected a whole number, not negative")
    rows = read_rows(path)
    columns = _columns(path, rows)
    if split_seed is not None and "split" in columns:
        raise InputError(f"{path}: split_seed is {split_seed}, and the table has a column split; leave one of them out")
    split_seed = split_seed or 0
    unused = [column or "a column without a name" for column in columns if column not in COLUMNS]
    if unused:
        warnings.warn(f"{path}: not used: {', '.join(unused)}", DataWarning, stacklevel=2)
    texts = _texts(path, rows)
    labels = [read_label(path, row) for row in rows]
    ids = [_id(path, row) for row in rows] if "id" in columns else [str(number + 1) for number in range(len(rows))]
    _check_ids(path, rows, ids)
    corpus = corpus_said(words)
    if corpus is not None:
        entries = {**entries_of(corpus), **words, "name": corpus}
    else:
        entries = guessed(words, source=str(path), stem=path.stem, labels=[np.array(labels)], texts=texts)
    made = "" if "split" in columns else f" Splits made by shuffling with seed {split_seed}."
    card = Card(
        **entries,
        provenance=f"Table {shown(path.name)}, {len(rows)} rows.{made}",
        modalities={"text": "raw text"},
    )
    check_card(card, source=str(path))
    _check_range(path, rows, labels, card.label_range)
    where = _given_splits(path, rows) if "split" in columns else _made_splits(path, ids, split_seed)
    _warn_of_equal_texts(path, texts, where)
    columns_of = {"id": (ids, np.str_), "label": (labels, np.float64), "raw_text": (texts, np.str_)}
    splits = {
        split: {
            key: np.array([values[row] for row in where[split]], kind) for key, (values, kind) in columns_of.items()
        }
        for split in SPLITS
    }
    return validate(card, splits, source=str(path))


def read_table_samples(path: Path) -> dict[str, Split]:
    """The rows of a table as samples to predict, by split; under the file's name where there is no column `split`.

    A column `text` is enough; labels are NaN where there is no column `label`, or its cell is empty or says that there is none.

    Raises:
      InputError: as `read_table`.
    """
    rows = READERS[path.suffix.lower()](path)
    columns = _columns(path, rows, required=("text",))
    names = [read_split(path, row) for row in rows] if "split" in columns else [path.stem] * len(rows)
    found = {}
    for name in dict.fromkeys(names):
        mine = [number for number, split in enumerate(names) if split == name]
        ids = [_id(path, rows[number]) if "id" in columns else str(number + 1) for number in mine]
        _check_ids(path, [rows[number] for number in mine], ids)
        labels = [_label_or_nan(path, rows[number]) if "label" in columns else math.nan for number in mine]
        found[name] = Split(
            id=np.array(ids, np.str_),
            label=np.array(labels, np.float32),
            raw_text=np.array(_texts(path, [rows[number] for number in mine]), np.str_),
        )
    return found


# -- cells ------------------------------------------------------------------------------------------------------------


def refuse(path: Path, row: Row, column: str, found: str, expected: str) -> NoReturn:
    """Raises an InputError that names the cell."""
    raise InputError(f"{path}: {row.where}, column {column}: {found}; expected {expected}")


def _columns(path: Path, rows: Sequence[Row], required: Sequence[str] = ("text", "label")) -> list[str]:
    """All columns there are, in their order; the required ones are among them, and no row lacks one that is read."""
    columns = list(dict.fromkeys(column for row in rows for column in row.cells))
    for column in required:
        if column not in columns:
            raise InputError(
                f"{path}: column {column} is missing; found {', '.join(columns)}, expected {' and '.join(required)}, "
                f"and if there are {' and '.join(name for name in COLUMNS if name not in required)}, "
                "named in the first line"
            )
    check_whole(path, rows, COLUMNS)
    return columns


def check_whole(path: Path, rows: Sequence[Row], names: Sequence[str]) -> None:
    """Raises InputError if a row lacks one of these columns and another row has it."""
    for column in names:
        lacking = next((row for row in rows if column not in row.cells), None)
        if lacking is not None and any(column in row.cells for row in rows):
            refuse(path, lacking, column, "missing", "it, because other rows have it")


def _texts(path: Path, rows: Sequence[Row]) -> list[str]:
    """Of all rows."""
    texts = [_text(path, row) for row in rows]
    check_lengths(texts, lambda number: f"{path}: {rows[number].where}, column text")
    return texts


def _text(path: Path, row: Row) -> str:
    text = row.cells["text"]
    if is_empty(text):
        refuse(path, row, "text", "nothing", "text")
    return _checked_unicode(path, row, "text", read_text(path, row))


def read_text(path: Path, row: Row, column: str = "text") -> str:
    """The text in a cell; "" if it is empty. Raises InputError if it holds something else."""
    text = row.cells[column]
    if is_empty(text):
        return ""
    if not isinstance(text, str):
        refuse(path, row, column, _shown(text), "text")
    return text


def read_label(path: Path, row: Row, column: str = "label") -> float:
    """The number in a cell. Raises InputError if there is none, or it is not finite."""
    cell = row.cells[column]
    try:
        if isinstance(cell, bool) or not isinstance(cell, (str, int, float)) or (isinstance(cell, str) and "_" in cell):
            raise ValueError
        label = float(cell)
        if math.isfinite(label):
            return label
    except (ValueError, OverflowError):
        pass
    comma = isinstance(cell, str) and re.fullmatch(r"[+-]?\d+,\d+", cell.strip())
    written = f": write {cell.strip().replace(',', '.')}, with a point" if comma else ""
    refuse(path, row, column, _shown(cell), f"a number{written}")


def is_empty(cell: Any) -> bool:
    """Whether a cell holds nothing: blank in a text file, null in .jsonl, null, NA or NaN in .parquet. 0 is something."""
    return cell is None or (isinstance(cell, str) and not cell.strip()) or (isinstance(cell, float) and cell != cell)


def _label_or_nan(path: Path, row: Row) -> float:
    cell = row.cells["label"]
    none = is_empty(cell) or (isinstance(cell, str) and cell.strip().lower() in _NO_LABEL)
    return math.nan if none else read_label(path, row)


def _id(path: Path, row: Row) -> str:
    return _checked_unicode(path, row, "id", read_name(path, row, "id"))


def read_name(path: Path, row: Row, column: str) -> str:
    """The text or whole number in a cell, without spaces around it. Raises InputError if there is none."""
    name = row.cells[column]
    if type(name) is int:
        return str(name)
    if not isinstance(name, str) or not name.strip():
        refuse(path, row, column, _shown(name), "text or a whole number")
    return name.strip()


def _checked_unicode(path: Path, row: Row, column: str, text: str) -> str:
    if not is_unicode(text):
        refuse(path, row, column, "half a surrogate pair, which no file can hold", "Unicode text")
    return text


def _check_ids(path: Path, rows: Sequence[Row], ids: Sequence[str]) -> None:
    owner: dict[str, Row] = {}
    for row, id in zip(rows, ids, strict=True):
        if id in owner:
            refuse(path, row, "id", f"{id!r}, which {owner[id].where} has", "ids that differ")
        owner[id] = row


def _check_range(path: Path, rows: Sequence[Row], labels: Sequence[float], ends: tuple[float, float]) -> None:
    (low, high), slack = ends, 1e-6 * (ends[1] - ends[0])
    for row, label in zip(rows, labels, strict=True):
        if not low - slack <= label <= high + slack:
            refuse(path, row, "label", f"{label:g}", f"a number in label_range [{low:g}, {high:g}]")


def _shown(cell: Any) -> str:
    if isinstance(cell, (str, int, float)) or cell is None:
        return "nothing" if cell is None or (isinstance(cell, str) and not cell.strip()) else f"{cell!r:.60}"
    return type(cell).__name__


def _warn_of_equal_texts(path: Path, texts: Sequence[str], where: Mapping[str, np.ndarray]) -> None:
    """What a network has learned by heart is no test of it."""
    known = {texts[row].strip() for row in where["train"]}
    for split in HELD_OUT:
        equal = sum(texts[row].strip() in known for row in where[split])
        if equal:
            warnings.warn(
                f"{path}: {equal} of {len(where[split])} texts of {split} stand in train, too, word for word",
                DataWarning,
                stacklevel=3,
            )


# -- splits -----------------------------------------------------------------------------------------------------------


def read_split(path: Path, row: Row, column: str = "split") -> str:
    """train, valid or test, as a cell says in one of the usual words. Raises InputError if it says something else."""
    cell = row.cells[column]
    split = SPLIT_OF.get(cell.strip().lower()) if isinstance(cell, str) else None
    if split is None:
        refuse(path, row, column, _shown(cell), "train, valid or test")
    return split


def _given_splits(path: Path, rows: Sequence[Row]) -> dict[str, np.ndarray]:
    splits = [read_split(path, row) for row in rows]
    for split in SPLITS:
        if split not in splits:
            raise InputError(f"{path}: column split: no row is {split}; expected some of each of {', '.join(SPLITS)}")
    return {split: np.flatnonzero(np.array(splits) == split) for split in SPLITS}


def dealt(count: int, seed: int) -> dict[str, np.ndarray]:
    """{split: sorted numbers below `count`}, shuffled: 70 % train, 10 % valid, 20 % test, of three at least one each."""
    order = np.random.default_rng(seed).permutation(count)
    made = {}
    for split, share in _SHARES.items():
        size = max(1, round(share * count))
        made[split], order = np.sort(order[:size]), order[size:]
    return {**made, "train": np.sort(order)}


def _made_splits(path: Path, ids: Sequence[str], seed: int) -> dict[str, np.ndarray]:
    """Deals the samples; by whole videos where all ids have the form VIDEO$_$CLIP, since samples of a video are alike."""
    if len(ids) < len(SPLITS):
        raise InputError(f"{path}: {len(ids)} samples and no column split; expected at least three samples")
    named = all(SEPARATOR in name for name in ids)
    units, of = np.unique(groups_of(ids, least=len(SPLITS)) if named else np.arange(len(ids)), return_inverse=True)
    made = {name: np.flatnonzero(np.isin(of, numbers)) for name, numbers in dealt(len(units), seed).items()}
    what = "samples" if len(units) == len(ids) else f"{len(units)} videos, each in one split,"
    counts = ", ".join(f"{name} {len(made[name])}" for name in SPLITS)
    warnings.warn(
        f"{path}: no column split: {what} shuffled with seed {seed}, 70 % train, 10 % valid, 20 % test ({counts})",
        DataWarning,
        stacklevel=3,
    )
    return made
