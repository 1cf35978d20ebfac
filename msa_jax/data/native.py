"""The native dataset folder: card.json, train.npz, valid.npz and test.npz; never a pickle."""

import contextlib
import json
import os
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from msa_jax import json_text
from msa_jax.data.columns import COLUMNS
from msa_jax.data.identity import said, with_corpus
from msa_jax.data.padding import settle_padding
from msa_jax.data.schema import SPLITS, Dataset, parse_card, validate
from msa_jax.errors import DataWarning, InputError, refuse_newer
from msa_jax.paths import user_path
from msa_jax.whole_files import new_folder, put_back, replace_folder

FORMAT = 1  # of the folders that this version writes; a higher number for what older versions would read wrongly
LARGEST_BLANK = 2**30  # bytes of an array that may be compressed without limit
MOST_PACKED = 500  # times that data are compressed; those of people a few times
_FILES = ("card.json", *(f"{split}.npz" for split in SPLITS))


def read_native(
    folder: str | Path,
    *,
    name: str | None = None,
    language: str | None = None,
    label_range: tuple[float, float] | None = None,
    metrics: str | None = None,
) -> Dataset:
    """The dataset in a native folder, validated.

    Warns where the card's counts or columns differ from the arrays. Padding in front is moved behind.

    Args:
      folder: where `card.json` and the splits are.
      name, language, label_range, metrics: instead of what the card says. The name of a corpus sets the other three too.

    Raises:
      InputError: a file is missing, truncated, altered or pickled, the card is wrong, or the data are (see `validate`).
    """
    folder = user_path(folder)
    words = said(name=name, language=language, label_range=label_range, metrics=metrics)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder, expected one with {', '.join(_FILES)}")
    for name in _FILES:
        if not (folder / name).is_file():
            raise InputError(f"{folder}: no file {name}, expected {', '.join(_FILES)}")
    entries = {**read_card(folder / "card.json"), **with_corpus(words)}
    card = parse_card(entries, source=str(folder / "card.json"))
    splits = {split: read_npz(folder / f"{split}.npz") for split in SPLITS}
    listed = entries.get("columns")
    if isinstance(listed, Mapping):
        for split, columns in splits.items():
            for name in listed:
                if name in COLUMNS and name not in columns:
                    raise InputError(
                        f"{folder}: split {split}, column {name}: missing column; expected, as card.json lists it"
                    )
    dataset = validate(card, settle_padding(splits, source=str(folder)), source=str(folder))
    _compare_with_card(entries, dataset, folder / "card.json")
    return dataset


def read_card(path: Path) -> dict[str, Any]:
    """What a card.json holds. Raises InputError: it cannot be read, is no JSON object, or is of a newer format."""
    try:
        entries = json_text.parse(path.read_text(encoding="utf-8-sig"), strict=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text, expected JSON") from None
    except ValueError as error:
        raise InputError(f"{path}: not JSON: {error}") from None
    if not isinstance(entries, dict):
        raise InputError(
            f"{path}: found {type(entries).__name__}, expected an object with name, metrics and label_range"
        )
    refuse_newer(entries, FORMAT, str(path))
    return entries


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The columns of one split, none of them a pickle. Raises InputError where the file is damaged or something else."""
    name = None
    try:
        with zipfile.ZipFile(path) as archive:
            _refuse_bomb(archive, path)
            arrays = {}
            for member in archive.infolist():
                name = member.filename.removesuffix(".npy")
                if name in arrays:
                    raise InputError(f"{path}: column {name} is there twice")
                # Read to its end, which checks the CRC: np.load stops at the last value and would miss some damage.
                with archive.open(member) as stream:
                    arrays[name] = np.lib.format.read_array(stream, allow_pickle=False)
                    if stream.read(1):
                        raise ValueError("bytes behind the last value")
            return arrays
    except InputError:
        raise
    except Exception as error:  # a damaged archive can fail in any way
        within = f", column {name}" if name else ""
        raise InputError(
            f"{path}{within}: truncated, altered or not an npz file without pickles ({type(error).__name__}: {error})"
        ) from None


def _refuse_bomb(archive: zipfile.ZipFile, path: Path) -> None:
    """Raises InputError if a few bytes would fill the memory."""
    sizes = {member.filename: (member.file_size, member.compress_size) for member in archive.infolist()}
    sizes["all columns"] = tuple(map(sum, zip(*sizes.values(), strict=True))) if sizes else (0, 0)
    for name, (size, packed) in sizes.items():
        if size > LARGEST_BLANK and size > MOST_PACKED * packed:
            raise InputError(
                f"{path}: {name.removesuffix('.npy')}: {size:,} bytes out of {packed:,}; expected data that are not blank"
            )


def _compare_with_card(entries: Mapping[str, Any], dataset: Dataset, path: Path) -> None:
    counts = {name: len(split) for name, split in dataset.splits().items()}
    stated = entries.get("counts")
    if stated is not None and stated != counts:
        warnings.warn(f"{path}: states counts {stated}, the arrays hold {counts}", DataWarning, stacklevel=3)
    listed = entries.get("columns")
    if listed is None:
        return
    present = _column_entries(dataset)
    shapes = {name: entry["shape"] for name, entry in present.items()}
    stated = {
        name: entry.get("shape") if isinstance(entry, Mapping) else None
        for name, entry in (listed.items() if isinstance(listed, Mapping) else ())
    }
    if stated != shapes:
        differing = sorted(name for name in stated.keys() | shapes.keys() if stated.get(name) != shapes.get(name))
        shown = ", ".join(f"{name} {stated.get(name)} (the arrays: {shapes.get(name)})" for name in differing)
        warnings.warn(f"{path}: states columns that differ from the arrays: {shown}", DataWarning, stacklevel=3)


def _column_entries(dataset: Dataset) -> dict[str, Any]:
    return {
        name: {"dtype": str(array.dtype), "shape": ["N", *array.shape[1:]]}
        for name, array in dataset.train.columns().items()
    }


def card_entries(dataset: Dataset) -> dict[str, Any]:
    """What card.json holds: the card, and counts and columns as the arrays have them."""
    entries = asdict(dataset.card)
    entries["label_range"] = [int(end) if float(end).is_integer() else end for end in dataset.card.label_range]
    entries["counts"] = {name: len(split) for name, split in dataset.splits().items()}
    entries["columns"] = _column_entries(dataset)
    if entries["extract"] is None:  # most datasets are not made of clips here
        del entries["extract"]
    return entries


def write_native(
    dataset: Dataset, folder: str | Path, *, overwrite: bool = False, beside: Mapping[str, str] | None = None
) -> Path:
    """Writes a validated dataset as a native folder, whole or not at all: into a sibling folder that is then renamed.

    Args:
      dataset: what to write.
      folder: where; its parents are made.
      overwrite: replace a native folder that is there. A folder with anything else in it is never replaced.
      beside: names and contents of text files that also lie in the folder.

    Returns:
      The folder.

    Raises:
      InputError: the dataset is not valid, the folder exists, or it cannot be written.
    """
    folder = user_path(folder).absolute()
    columns = {name: split.columns() for name, split in dataset.splits().items()}
    dataset = validate(dataset.card, columns, source=dataset.source)
    if folder.is_symlink():  # where it leads to is meant
        folder = folder.resolve()
    check_target(folder, overwrite)
    try:
        with new_folder(folder, replace_folder if overwrite else os.replace) as part:
            for name, split in dataset.splits().items():
                np.savez_compressed(part / f"{name}.npz", **split.columns())
            entries = {"format": FORMAT, **card_entries(dataset)}
            text = json.dumps(entries, indent=1, ensure_ascii=False, allow_nan=False)
            # What is no Unicode in a recipe becomes an escape, as JSON has it.
            (part / "card.json").write_text(text + "\n", encoding="utf-8", errors="backslashreplace")
            for name, content in (beside or {}).items():
                (part / name).write_text(content, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        if not overwrite:  # another process has written one meanwhile
            check_target(folder)
        raise InputError(f"{folder}: cannot be written: {error.strerror or error}") from None
    return folder


def check_target(folder: Path, overwrite: bool = False) -> None:
    """Raises InputError if a dataset cannot be written there. One that a killed process had moved away is put back first."""
    with contextlib.suppress(OSError):
        put_back(folder)
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"{folder}: is a file, expected a folder or nothing")
    held = sorted(entry.name for entry in folder.iterdir())
    strange = [name for name in held if name not in _FILES]
    if strange:
        raise InputError(f"{folder}: holds {strange[0]}, which is no part of a native dataset; choose another folder")
    if held and not overwrite:
        raise InputError(f"{folder}: a dataset is there already; choose another folder")
