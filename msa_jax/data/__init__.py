"""What comes in: datasets, from native folders, MMSA's feature files, TensorFlow Datasets, or made up."""

import os
from pathlib import Path

from msa_jax.data.mmsa import read_mmsa
from msa_jax.data.native import read_native, write_native
from msa_jax.data.schema import Card, Dataset, Split
from msa_jax.data.synthetic import make_synthetic
from msa_jax.data.tfds import NAMES, read_tfds
from msa_jax.errors import InputError
from msa_jax.paths import user_path

__all__ = [
    "Card",
    "Dataset",
    "Split",
    "load_dataset",
    "make_synthetic",
    "read_mmsa",
    "read_native",
    "write_native",
]


def load_dataset(source: "Dataset | str | os.PathLike[str]", *, data_dir: str | Path | None = None) -> Dataset:
    """The dataset that `source` means.

    Args:
      source: a `Dataset` (returned as it is), "synthetic", the path of a native folder, the path of an MMSA feature
        file (.pkl or .pickle), or a TFDS name such as "msa_mosi" or "msa_native/my_dataset".
      data_dir: where TFDS keeps its data; only used with a TFDS name.

    Raises:
      InputError: it is none of these, or the data in it are wrong.
    """
    if isinstance(source, Dataset):
        return source
    if not isinstance(source, (str, os.PathLike)):
        raise InputError(f"dataset {source!r}: found {type(source).__name__}, expected {_POSSIBLE}")
    name = os.fspath(source)
    if not isinstance(name, str) or not name.strip():
        raise InputError(f"dataset {name!r}: expected {_POSSIBLE}")
    if name == "synthetic":
        return make_synthetic()
    path = user_path(name)
    if path.is_dir():
        return read_native(path)
    if path.is_file():
        if path.suffix.lower() in (".pkl", ".pickle"):
            return read_mmsa(path)
        raise InputError(f"{name}: a file that is no .pkl; expected {_POSSIBLE}")
    if name.split("/")[0] in NAMES:
        return read_tfds(name, data_dir=data_dir)
    raise InputError(f"{name}: no such file or folder, and no TFDS name; expected {_POSSIBLE}")


_POSSIBLE = f"'synthetic', a native dataset folder, an MMSA .pkl file, or a TFDS name ({', '.join(NAMES)})"
