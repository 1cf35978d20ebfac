"""What comes in: datasets, from native folders, the feature files of MMSA and MulT, tables, TensorFlow Datasets, or made up."""

import os
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

from msa_jax import safe_pickle
from msa_jax.data import cmu, mmsa
from msa_jax.data.calibrated import Calibrated, calibrated_labels, with_calibrated_labels
from msa_jax.data.cmu import read_cmu
from msa_jax.data.identity import said, with_corpus
from msa_jax.data.leaks import Leaks, find_leaks
from msa_jax.data.mmsa import read_mmsa
from msa_jax.data.native import read_native, write_native
from msa_jax.data.schema import Card, Dataset, Split, checked, validate
from msa_jax.data.synthetic import make_synthetic
from msa_jax.data.table import read_table
from msa_jax.data.table_rows import SUFFIXES
from msa_jax.data.tfds import NAMES, read_tfds
from msa_jax.errors import DataWarning, InputError
from msa_jax.paths import user_path

__all__ = [
    "Calibrated",
    "Card",
    "Dataset",
    "Leaks",
    "Split",
    "calibrated_labels",
    "find_leaks",
    "load_dataset",
    "make_synthetic",
    "read_cmu",
    "read_mmsa",
    "read_native",
    "read_table",
    "with_calibrated_labels",
    "write_native",
]


SYNTHETIC = "synthetic"  # the source that is no file


def load_dataset(
    source: "Dataset | str | os.PathLike[str]",
    *,
    data_dir: str | Path | None = None,
    name: str | None = None,
    language: str | None = None,
    label_range: tuple[float, float] | None = None,
    metrics: str | None = None,
    split_seed: int | None = None,
) -> Dataset:
    """The dataset that `source` means.

    Args:
      source: a `Dataset` (checked as one that is read), "synthetic", the path of a native folder, the path of a feature file of
        MMSA or MulT (.pkl or .pickle) or of a table (.csv, .tsv, .jsonl or .parquet), or a TFDS name such as "msa_mosi" or
        "msa_native/my_dataset".
      data_dir: where TFDS keeps its data; only used with a TFDS name.
      name, language, label_range, metrics: what the dataset is, instead of what its card says or what is guessed. The names
        mosi, mosei and sims set the other three too.
      split_seed: of the splits of a table that has none; 0 by default.

    Raises:
      InputError: it is none of these, or the data in it are wrong.
    """
    words = said(name=name, language=language, label_range=label_range, metrics=metrics)
    if isinstance(source, Dataset):
        return checked(replace(source, card=replace(source.card, **with_corpus(words))) if words else source)
    if not isinstance(source, (str, os.PathLike)):
        raise InputError(f"dataset: found {type(source).__name__}, expected {_POSSIBLE}, or a Dataset")
    given = os.fspath(source)
    if not isinstance(given, str) or not given.strip():
        raise InputError(f"dataset {given!r}: expected {_POSSIBLE}")
    path = user_path(given)
    is_table = path.suffix.lower() in SUFFIXES
    if split_seed is not None and not is_table:
        raise InputError(
            f"{given}: split_seed is {split_seed!r}, which only a table without splits reads; leave it out"
        )
    if given == SYNTHETIC:
        if Path(given).exists():
            said_so = f"{given}: the dataset that is made up, not what lies here under this name, which is ./{given}"
            warnings.warn(said_so, DataWarning, stacklevel=2)
        return _described(make_synthetic(), words)
    if path.is_dir():
        return read_native(path, **words)
    if path.is_file():
        suffix = path.suffix.lower()
        if suffix in (".pkl", ".pickle"):
            content = safe_pickle.load(path)
            return (cmu if cmu.is_cmu(content) else mmsa).dataset_of(content, path, words)
        if is_table:
            return read_table(path, **words, split_seed=split_seed)
        raise InputError(f"{given}: a file of another kind; expected {_POSSIBLE}")
    if given.split("/")[0] in NAMES:
        return _described(read_tfds(given, data_dir=data_dir), words)
    raise InputError(f"{given}: no such file or folder, and no TFDS name; expected {_POSSIBLE}")


def _described(dataset: Dataset, words: dict[str, Any]) -> Dataset:
    """The dataset with what was said of it on its card."""
    if not words:
        return dataset
    columns = {name: split.columns() for name, split in dataset.splits().items()}
    return validate(replace(dataset.card, **with_corpus(words)), columns, source=dataset.source)


_POSSIBLE = (
    "'synthetic', a native dataset folder, a .pkl file of MMSA or MulT, "
    f"a table ({', '.join(SUFFIXES)}), or a TFDS name ({', '.join(NAMES)})"
)
