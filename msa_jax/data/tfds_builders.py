"""TensorFlow Datasets builders, registered by importing this module. It needs `tensorflow-datasets`, not TensorFlow.

`msa_mosi`, `msa_mosei` and `msa_sims` are made from the feature file of MMSA in `manual_dir`, one configuration for
each file (`msa_mosi/unaligned_50`, `msa_mosi/aligned_50`, `msa_mosi/my_features`); `msa_native` from a native folder,
one configuration for each folder (`msa_native/my_dataset`). Every example is one row; `row` is its place in the split.
"""

import abc
import functools
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from msa_jax.data.columns import COLUMNS
from msa_jax.data.mmsa import PUBLISHED, read_mmsa
from msa_jax.data.native import read_native
from msa_jax.data.schema import Dataset
from msa_jax.errors import InputError
from msa_jax.paths import user_path


class _Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A builder whose features follow from the data. `manual_dir` is needed until the data are prepared, not after."""

    VERSION = tfds.core.Version("1.0.0")
    # TFDS looks beside the code for checksums of downloads. There are none, and its search needs importlib_resources,
    # which it does not install.
    code_path = None

    def __init__(self, *, manual_dir: str | Path | None = None, file_format: str = "array_record", **options: Any):
        self._manual_dir = manual_dir
        super().__init__(file_format=file_format, **options)
        self._original_state |= {"manual_dir": manual_dir, "file_format": file_format}

    @abc.abstractmethod
    def _read(self, manual_dir: Path) -> Dataset:
        """The dataset that lies in `manual_dir`."""

    @functools.cached_property
    def _dataset(self) -> Dataset:
        if self._manual_dir is None:
            raise InputError(f"{self.name}: not prepared under {self.data_path}, and no manual_dir to prepare it from")
        return self._read(user_path(self._manual_dir))

    def _info(self) -> tfds.core.DatasetInfo:
        metadata = tfds.core.MetadataDict()  # a prepared dataset fills it when read
        if (Path(self.data_path) / "features.json").exists():
            features = tfds.features.FeatureConnector.from_config(self.data_dir)
        else:
            features = _features(self._dataset)
            metadata["card"] = asdict(self._dataset.card)
        return tfds.core.DatasetInfo(
            builder=self,
            description="Multimodal sentiment analysis: text, audio and vision of utterances, and one sentiment score.",
            features=features,
            metadata=metadata,
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        return {name: self._generate_examples(name) for name in self._dataset.splits()}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        columns = self._dataset.split(split).columns()
        for row in range(len(columns["id"])):
            yield row, {"row": row, **{name: _element(array, row) for name, array in columns.items()}}


def _features(dataset: Dataset) -> tfds.features.FeaturesDict:
    described: dict[str, Any] = {"row": np.int64}
    for name, array in dataset.train.columns().items():
        if COLUMNS[name].kind == "text":
            described[name] = tfds.features.Text()
        else:
            dtype = np.float32 if COLUMNS[name].kind == "float" else np.int32
            # Compressed: much of a sequence is padding.
            encoding = tfds.features.Encoding.ZLIB if array.ndim > 1 else tfds.features.Encoding.NONE
            described[name] = tfds.features.Tensor(shape=array.shape[1:], dtype=dtype, encoding=encoding)
    return tfds.features.FeaturesDict(described)


def _element(array: np.ndarray, row: int) -> Any:
    return str(array[row]) if array.dtype.kind == "U" else array[row]


class _MmsaBuilder(_Builder, skip_registration=True):
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Put MMSA's feature file, for example MOSI/Processed/unaligned_50.pkl, into manual_dir."
    )

    def _read(self, manual_dir: Path) -> Dataset:
        return read_mmsa(mmsa_file(manual_dir, self.corpus, self.builder_config.name), name=self.corpus)


def mmsa_file(manual_dir: Path, corpus: str, stem: str | None) -> Path:
    """The feature file of a corpus under `manual_dir`: there, in MOSI/ (or MOSEI/, SIMS/), or in MOSI/Processed/.

    Args:
      stem: the file's name without .pkl; None takes the published one, unaligned first, or the only one there.

    Raises:
      InputError: there is none, or there are several and none of them is a published one.
    """
    places = [manual_dir / below for name in (corpus.upper(), corpus) for below in (f"{name}/Processed", name)]
    places.append(manual_dir)
    stems = [stem] if stem else [Path(name).stem for kind, name in PUBLISHED if kind == corpus]
    for wanted in stems:
        for place in places:
            if (place / f"{wanted}.pkl").is_file():
                return place / f"{wanted}.pkl"
    found = sorted({path.resolve() for place in places for path in place.glob("*.pkl")})
    if stem is None and len(found) == 1:
        return found[0]
    there = ", ".join(path.name for path in found) or "none"
    raise InputError(f"{manual_dir}: no feature file of {corpus}; expected {' or '.join(stems)}.pkl, found {there}")


def _configs(corpus: str) -> list[tfds.core.BuilderConfig]:
    return [tfds.core.BuilderConfig(name=Path(file).stem) for kind, file in PUBLISHED if kind == corpus]


class MsaMosi(_MmsaBuilder):
    """CMU-MOSI from MMSA's feature file."""

    corpus = "mosi"
    BUILDER_CONFIGS = _configs("mosi")


class MsaMosei(_MmsaBuilder):
    """CMU-MOSEI from MMSA's feature file."""

    corpus = "mosei"
    BUILDER_CONFIGS = _configs("mosei")


class MsaSims(_MmsaBuilder):
    """CH-SIMS or CH-SIMS v2 from MMSA's feature file."""

    corpus = "sims"
    BUILDER_CONFIGS = _configs("sims")


class MsaNative(_Builder):
    """Any dataset in a native folder: `manual_dir` itself, or the folder in it that the configuration names."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = "Give the native dataset folder, or the folder it lies in, as manual_dir."

    def _read(self, manual_dir: Path) -> Dataset:
        return read_native(native_folder(manual_dir, self.builder_config.name))


def native_folder(manual_dir: Path, name: str | None) -> Path:
    """The native dataset folder `manual_dir` is, where that fits the name, or else the one of that name in it.

    Raises:
      InputError: neither is there.
    """
    if (manual_dir / "card.json").is_file() and name in (None, manual_dir.resolve().name):
        return manual_dir
    if name is None or not (manual_dir / name / "card.json").is_file():
        wanted = (
            f"a folder {name} with a card.json" if name else "a card.json, or a dataset named as in msa_native/NAME"
        )
        raise InputError(f"{manual_dir}: expected {wanted}")
    return manual_dir / name


BUILDERS = {builder.name: builder for builder in (MsaMosi, MsaMosei, MsaSims, MsaNative)}
