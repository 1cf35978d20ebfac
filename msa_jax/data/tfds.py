"""Datasets through TensorFlow Datasets, without TensorFlow: prepared once as array_record, read as a data source."""

import contextlib
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from msa_jax.data.columns import COLUMNS
from msa_jax.data.schema import SPLITS, Dataset, parse_card, validate
from msa_jax.errors import InputError, install
from msa_jax.paths import user_path

NAMES = ("msa_mosi", "msa_mosei", "msa_sims", "msa_native")
_NAME = re.compile(r"(?P<builder>\w+)(/(?P<config>[\w.-]+))?")


def read_tfds(name: str, *, data_dir: str | Path | None = None, manual_dir: str | Path | None = None) -> Dataset:
    """A dataset that TensorFlow Datasets holds, or that it prepares first from `manual_dir`.

    Args:
      name: "msa_mosi", "msa_mosei", "msa_sims" (of MMSA's feature files) or "msa_native" (of native folders); a
        configuration may follow: "msa_mosi/aligned_50", "msa_native/my_dataset". It is the name of the file or folder.
      data_dir: where prepared data lie; by default where TFDS keeps them (TFDS_DATA_DIR, or ~/tensorflow_datasets).
      manual_dir: where the feature files or native folders lie; by default data_dir/downloads/manual. What has been
        prepared is not prepared again.

    Raises:
      InputError: tensorflow-datasets is not installed, the name is unknown, there is nothing prepared and nothing to
        prepare it from, or the data are wrong.
    """
    parts = _NAME.fullmatch(name)
    if parts is None or parts["builder"] not in NAMES:
        raise InputError(
            f"unknown TFDS dataset {name!r}; expected one of {', '.join(NAMES)}, maybe with /CONFIGURATION"
        )
    tfds, builders = _import_builders()
    root = user_path(data_dir or tfds.core.constants.DATA_DIR)
    if manual_dir is None and (root / "downloads" / "manual").is_dir():
        manual_dir = root / "downloads" / "manual"
    manual_dir = None if manual_dir is None else user_path(manual_dir)
    builder, config = parts["builder"], parts["config"]
    version = str(builders.BUILDERS[builder].VERSION)
    config = config or _only_config(builders, builder, root / builder, version, manual_dir)
    folder = root / builder / config / version
    if not (folder / "dataset_info.json").is_file():
        if manual_dir is None:
            raise InputError(
                f"{builder}/{config}: not prepared in {folder}; give the folder with its files as manual_dir, "
                f"or put them into {root / 'downloads' / 'manual'}"
            )
        _prepare(tfds, builders.BUILDERS[builder], config, root, manual_dir)
    return _read_prepared(tfds, folder, source=f"{builder}/{config} in {root}")


def _import_builders() -> tuple[ModuleType, ModuleType]:
    try:
        import tensorflow_datasets as tfds

        from msa_jax.data import tfds_builders
    except ImportError as error:
        raise InputError(f"reading TFDS datasets needs tensorflow-datasets ({error}): {install('tfds')}") from None
    return tfds, tfds_builders


def _only_config(builders: ModuleType, builder: str, folder: Path, version: str, manual_dir: Path | None) -> str:
    """The configuration meant by a bare name: what `manual_dir` holds, or the one that is prepared."""
    prepared = sorted(path.parent.parent.name for path in folder.glob(f"*/{version}/dataset_info.json"))
    defaults = [config.name for config in builders.BUILDERS[builder].BUILDER_CONFIGS if config.name in prepared]
    if defaults or len(prepared) == 1:
        return (defaults or prepared)[0]
    if prepared:
        raise InputError(f"{builder}: several are prepared in {folder}; say one of {', '.join(prepared)} after a slash")
    if manual_dir is None:
        raise InputError(
            f"{builder}: nothing is prepared in {folder}; give the folder with its files as manual_dir, "
            f"or put them into {folder.parent / 'downloads' / 'manual'}"
        )
    if builder == "msa_native":
        return builders.native_folder(manual_dir, None).resolve().name
    return builders.mmsa_file(manual_dir, builder.removeprefix("msa_"), None).stem


def _prepare(tfds: ModuleType, builder: Any, config: str, root: Path, manual_dir: Path) -> None:
    if not manual_dir.is_dir():
        raise InputError(f"{manual_dir}: no such folder")
    known = {each.name: each for each in builder.BUILDER_CONFIGS}
    try:
        made = builder(
            config=known.get(config) or tfds.core.BuilderConfig(name=config),
            data_dir=os.fspath(root),
            manual_dir=manual_dir,
        )
        with contextlib.redirect_stdout(sys.stderr):  # TFDS prints its progress; standard output is for results
            made.download_and_prepare(
                download_config=tfds.download.DownloadConfig(manual_dir=os.fspath(manual_dir), try_download_gcs=False)
            )
    except OSError as error:
        raise InputError(f"{root}: cannot be written: {error.strerror or error}") from None


def _read_prepared(tfds: ModuleType, folder: Path, *, source: str) -> Dataset:
    try:
        builder = tfds.builder_from_directory(os.fspath(folder))
        card = builder.info.metadata["card"]
        sources = {split: builder.as_data_source(split=split) for split in SPLITS}
        columns = {split: _columns(builder.info.features, examples) for split, examples in sources.items()}
    except Exception as error:  # what tfds and array_record raise on damaged files has no common base
        why = " ".join(str(error).split())[:300]
        raise InputError(
            f"{folder}: not a dataset prepared by msa_jax, or damaged ({type(error).__name__}: {why})"
        ) from None
    return validate(parse_card(card, source=f"{source}, card"), columns, source=source)


def _columns(features: Mapping[str, Any], examples: Any) -> dict[str, np.ndarray]:
    n = len(examples)
    names = [name for name in features if name != "row"]
    columns: dict[str, Any] = {
        name: [None] * n
        if COLUMNS[name].kind == "text"
        else np.zeros((n, *features[name].shape), np.float32 if COLUMNS[name].kind == "float" else np.int32)
        for name in names
    }
    filled = np.zeros(n, bool)
    for index in range(n):
        example = examples[index]
        row = int(example["row"])
        if filled[row]:
            raise ValueError(f"row {row} is there twice")
        filled[row] = True
        for name in names:
            value = example[name]
            columns[name][row] = value.decode() if isinstance(value, bytes) else value
    return {name: np.array(column) if isinstance(column, list) else column for name, column in columns.items()}
