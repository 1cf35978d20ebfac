"""The feature files of MMSA, Self-MM and MMSA-FET: one pickle with train, valid and test, each a dict of columns.

Read here: aligned and unaligned CMU-MOSI, CMU-MOSEI, CH-SIMS and CH-SIMS v2, and what MMSA-FET writes. The pickle is
opened by `msa_jax.safe_pickle`, which runs nothing that is in it.
"""

import re
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from msa_jax import safe_pickle
from msa_jax.data.columns import COLUMNS, LABELS
from msa_jax.data.identity import CORPORA, corpus_said, entries_of, guessed, said
from msa_jax.data.padding import lengths_told, settle_padding
from msa_jax.data.schema import SPLIT_OF, SPLITS, Card, Dataset, validate
from msa_jax.data.values import Place, numbers, refuse_blank, texts
from msa_jax.errors import DataWarning, InputError
from msa_jax.paths import sha256, shown, user_path

# SHA-256 of the published feature files, as MMSA's README lists them.
PUBLISHED: Mapping[tuple[str, str], str] = {
    ("mosi", "unaligned_50.pkl"): "78e0f8b5ef8ff71558e7307848fc1fa929ecb078203f565ab22b9daab2e02524",
    ("mosi", "aligned_50.pkl"): "d3994fd25681f9c7ad6e9c6596a6fe9b4beb85ff7d478ba978b124139002e5f9",
    ("mosei", "unaligned_50.pkl"): "ad8b23d50557045e7d47959ce6c5b955d8d983f2979c7d9b7b9226f6dd6fec1f",
    ("mosei", "aligned_50.pkl"): "45eccfb748a87c80ecab9bfac29582e7b1466bf6605ff29d3b338a75120bf791",
    ("sims", "unaligned_39.pkl"): "c9e20c13ec0454d98bb9c1e520e490c75146bfa2dfeeea78d84de047dbdd442f",
}

_COLUMN_OF_KEY = {
    "id": "id",
    "raw_text": "raw_text",
    "text_bert": "text_bert",
    "text": "text",
    "audio": "audio",
    "audio_lengths": "audio_length",
    "vision": "vision",
    "vision_lengths": "vision_length",
    "regression_labels": "label",
    "regression_labels_T": "label_t",
    "regression_labels_A": "label_a",
    "regression_labels_V": "label_v",
}
# Known and not used: annotations disagree between files at the class borders, classes follow from the labels.
_UNUSED_KEYS = re.compile(r"annotations|classification_labels(_[TAV])?|align|mode")
_CORPUS_IN_PATH = re.compile(r"(?<![a-z])(?:cmu|ch)?(mosei|mosi|sims)(?:v2)?(?![a-z])")
_UNUSED_ENTRIES = ("config",)  # MMSA-FET's settings, beside the splits


def read_mmsa(
    path: str | Path,
    *,
    name: str | None = None,
    language: str | None = None,
    label_range: tuple[float, float] | None = None,
    metrics: str | None = None,
) -> Dataset:
    """The dataset in an MMSA feature file.

    Recorded lengths are taken as they are (frames of zeros inside a sequence are common); 0 becomes 1, which is counted
    in a warning. An aligned file records none: audio and vision then have as many steps as the text has tokens, [CLS] and
    [SEP] included; without `text_bert`, they end at the last frame that is not all zeros. Padding in front of the frames
    is moved behind them.

    A file that MMSA published is known by its SHA-256. Of any other, what is not said is guessed from its feature sizes,
    its path, its columns and its labels, in a warning, and the name is that of the file.

    Args:
      path: the pickle.
      name: of the dataset, which presets and the results of papers go by. "mosi", "mosei" and "sims" are the corpora, and
        bring what follows with them.
      language: "en", "zh", ...
      label_range: lowest and highest possible label.
      metrics: "mosi", "mosei", "sims", or "regression" for labels in any range.

    Raises:
      InputError: the file is missing, damaged, or would run code; or the data are wrong (see `validate`).
    """
    path = user_path(path)
    words = said(name=name, language=language, label_range=label_range, metrics=metrics)
    return dataset_of(safe_pickle.load(path), path, words)


def dataset_of(content: Any, path: Path, words: Mapping[str, Any]) -> Dataset:
    """The dataset in the content of such a file; `words` as `said` has them."""
    splits = split_dicts(content, path, _COLUMN_OF_KEY)
    digest = sha256(path)
    published = next((corpus for (corpus, _), known in PUBLISHED.items() if digest == known), None)
    recorded = all("audio_lengths" in split or "vision_lengths" in split for split in splits.values())
    columns = {split: columns_of(values, Place(source=str(path), split=split)) for split, values in splits.items()}
    columns = settle_padding(columns, source=str(path), zero_is_one=True)
    entries = entries_of_file(words, path, digest, published, columns)
    card = _card(entries, path, columns["train"], digest=digest, published=published, recorded=recorded)
    return validate(card, columns, source=str(path))


def split_dicts(content: Any, path: Path, known: Collection[str]) -> dict[str, Mapping[str, Any]]:
    """The dicts of columns in a feature file; columns that are not known are named in a warning.

    Raises:
      InputError: it is no dict of the three splits, or one of them is no dict of columns.
    """
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds {type(content).__name__}, expected a dict with train, valid and test")
    content = with_usual_splits(content, path)
    for split in SPLITS:
        if split not in content:
            found = ", ".join(map(repr, content)) or "nothing"
            raise InputError(
                f"{path}: split {split} is missing; found {found}, expected a dict with train, valid and test"
            )
        if not isinstance(content[split], dict):
            raise InputError(
                f"{path}: split {split} is of type {type(content[split]).__name__}; expected a dict of columns"
            )
        if not all(isinstance(key, str) for key in content[split]):
            raise InputError(f"{path}: split {split} has a column whose name is no text")
    splits = {split: _without_spaces(content[split], path, split, known) for split in SPLITS}
    extra = [str(key) for key in content if key not in SPLITS and key not in _UNUSED_ENTRIES]
    extra += sorted(
        {key for columns in splits.values() for key in columns if key not in known and not _UNUSED_KEYS.fullmatch(key)}
    )
    if extra:
        warnings.warn(f"{path}: not used: {', '.join(extra)}", DataWarning, stacklevel=3)
    return splits


def with_usual_splits(content: Mapping[Any, Any], path: Path) -> dict[Any, Any]:
    """The entries of a file, with train, valid and test under these names: many write dev or validation.

    Raises:
      InputError: a split is there twice.
    """
    found: dict[Any, Any] = {}
    for key, value in content.items():
        name = SPLIT_OF.get(key.lower(), key) if isinstance(key, str) else key
        if name in found:
            raise InputError(f"{path}: split {name} is there twice, the other time as {key!r}")
        found[name] = value
    return found


def _without_spaces(columns: Mapping[str, Any], path: Path, split: str, known: Collection[str]) -> Mapping[str, Any]:
    """The columns, those with a space around their name under the name that is meant."""
    meant = {key: key.strip() for key in columns if key != key.strip() and key.strip() in known}
    if not meant:
        return columns
    for key, name in meant.items():
        if name in columns or list(meant.values()).count(name) > 1:
            raise InputError(f"{path}: split {split}, column {name}: there twice, the other time as {key!r}")
    warnings.warn(
        f"{path}: split {split}: read without the spaces: {', '.join(map(repr, meant))}", DataWarning, stacklevel=4
    )
    return {meant.get(key, key): value for key, value in columns.items()}


def entries_of_file(
    words: Mapping[str, Any],
    path: Path,
    digest: str,
    published: str | None,
    columns: Mapping[str, Mapping[str, np.ndarray]],
) -> dict[str, Any]:
    """Name, language, label range and metrics: as said, as the known file or the corpus has them, or guessed."""
    meant = corpus_said(words)
    if published is not None or meant is not None:
        if published is None:
            _warn_of_other_file(path, str(meant), digest)
        entries = {**entries_of(meant or str(published)), **words}
        return {**entries, "name": meant} if meant else entries
    train = columns["train"]
    resembles = _resembled(path, train)
    remark = ""
    if resembles is not None and (resembles[0], path.name) in PUBLISHED:
        remark = f"{_other_file(resembles[0], digest)}; "
    labels = [split[column] for split in columns.values() for column in LABELS if column in split]
    texts = train["raw_text"].ravel().tolist() if "raw_text" in train else []
    return guessed(
        words, source=str(path), stem=path.stem, labels=labels, texts=texts, resembles=resembles, remark=remark
    )


def _warn_of_other_file(path: Path, corpus: str, digest: str) -> None:
    if (corpus, path.name) in PUBLISHED:
        warnings.warn(f"{path}: {_other_file(corpus, digest)}; read as it is", DataWarning, stacklevel=4)


def _other_file(corpus: str, digest: str) -> str:
    return f"not the file of this name that MMSA published for {corpus} (SHA-256 {digest})"


def _resembled(path: Path, train: Mapping[str, np.ndarray]) -> tuple[str, str] | None:
    """A corpus that the file may be of, and why one may think so."""
    sizes = tuple(train[name].shape[-1] if name in train else 0 for name in ("audio", "vision"))
    for corpus, facts in CORPORA.items():
        if sizes in facts.sizes:
            return corpus, f"its feature sizes, those of {corpus}"
    for part in reversed(path.absolute().parts):  # other features: the nearest part of the path that names a corpus
        found = _CORPUS_IN_PATH.findall(part.lower())
        if found:
            return found[-1], f"its path, which names {found[-1]}"
    return ("sims", "its unimodal labels, as sims has them") if "label_t" in train else None


def columns_of(values: Mapping[str, Any], place: Place) -> dict[str, np.ndarray]:
    """MMSA's columns under our names, each as an array of its kind. Recorded lengths of 0 are still 0."""
    for key in ("id", "regression_labels"):
        if key not in values:
            found = ", ".join(values) or "nothing"
            place.refuse(key, f"missing column (there are {found})", f"{COLUMNS[_COLUMN_OF_KEY[key]]}")
    refuse_blank(place, values, _COLUMN_OF_KEY)
    columns = {}
    for key, column in _COLUMN_OF_KEY.items():
        if values.get(key) is not None:
            kind = COLUMNS[column].kind
            convert = {"text": _texts, "float": _numbers, "int": _integers}[kind]
            columns[column] = convert(values[key], key, place)
    for name in ("audio", "vision"):
        if name not in columns:
            columns.pop(f"{name}_length", None)  # lengths of a modality that is not there say nothing
        elif columns[name].ndim != 3:
            place.refuse(name, f"shape {list(columns[name].shape)}", f"{COLUMNS[name]}")
        else:
            columns[f"{name}_length"] = lengths_told(columns, name)
    return columns


def _texts(value: Any, key: str, place: Place) -> np.ndarray:
    # MMSA's ids are text; those of one's own file may be whole numbers.
    array = texts(place, key, value, whole_numbers=key == "id")
    if array.ndim != 1:
        place.refuse(key, f"shape {list(array.shape)}", "text [N]")
    return array


def _numbers(value: Any, key: str, place: Place) -> np.ndarray:
    column = COLUMNS[_COLUMN_OF_KEY[key]]
    array = numbers(place, key, value, str(column))
    if column.shape == ("N",) and array.ndim > 1 and set(array.shape[1:]) == {1}:
        return array.reshape(len(array))
    return array


def _integers(value: Any, key: str, place: Place) -> np.ndarray:
    array = _numbers(value, key, place)
    if array.dtype.kind == "f":
        whole = np.isfinite(array) & (array == np.floor(array)) & (np.abs(array) < 2**31)
        wrong = np.flatnonzero([not row.all() for row in whole])
        if len(wrong):
            place.refuse(key, "a number that is not whole", f"{COLUMNS[_COLUMN_OF_KEY[key]]}", row=int(wrong[0]))
        array = array.astype(np.int32)
    return array


def _card(
    entries: Mapping[str, Any],
    path: Path,
    train: Mapping[str, np.ndarray],
    *,
    digest: str,
    published: str | None,
    recorded: bool,
) -> Card:
    text = [described for column, described in _TEXT_WORDS.items() if column in train]
    modalities = {"text": ", ".join(text) or "absent"}
    for name in ("audio", "vision"):
        if name in train:
            steps, size = train[name].shape[1:]
            described = getattr(CORPORA[published], name) if published else "features"
            modalities[name] = f"{described}, {size}-d, up to {steps} steps"
        else:
            modalities[name] = "absent"
    verified = "verified: the file MMSA published" if published else "unverified: not a file that MMSA published"
    caveats = ""
    if "audio" in train or "vision" in train:
        caveats = (
            "Valid steps as recorded; frames of zeros may lie inside them."
            if recorded
            else "No recorded lengths: as many steps as word pieces (aligned files), or up to the last non-zero frame."
        )
    return Card(
        **entries,
        provenance=f"MMSA feature file {shown(path.name)}, SHA-256 {digest} ({verified}).",
        modalities=modalities,
        caveats=caveats,
    )


_TEXT_WORDS = {
    "raw_text": "raw transcript",
    "text_bert": "word pieces (text_bert)",
    "text": "precomputed features",
}
