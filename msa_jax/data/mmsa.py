"""The feature files of MMSA, Self-MM and MMSA-FET: one pickle with train, valid and test, each a dict of columns.

Read here: aligned and unaligned CMU-MOSI, CMU-MOSEI, CH-SIMS and CH-SIMS v2, and what MMSA-FET writes. The pickle is
opened by `msa_jax.safe_pickle`, which runs nothing that is in it.
"""

import hashlib
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from msa_jax import safe_pickle
from msa_jax.data.columns import COLUMNS, Place
from msa_jax.data.schema import SPLITS, Card, Dataset, validate
from msa_jax.errors import DataWarning, InputError
from msa_jax.paths import shown, user_path


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """What a corpus has in common in all its files. `sizes`: feature sizes (audio, vision) of the files we know."""

    language: str
    label_range: tuple[float, float]
    sizes: tuple[tuple[int, int], ...]
    audio: str
    vision: str


KINDS: Mapping[str, _Kind] = {
    "mosi": _Kind(
        language="en", label_range=(-3.0, 3.0), sizes=((5, 20),), audio="COVAREP, selected", vision="Facet, selected"
    ),
    "mosei": _Kind(language="en", label_range=(-3.0, 3.0), sizes=((74, 35),), audio="COVAREP", vision="Facet"),
    "sims": _Kind(
        language="zh",
        label_range=(-1.0, 1.0),
        sizes=((33, 709), (25, 177)),
        audio="zero-crossing rate, MFCC, CQT chroma",
        vision="OpenFace 2",
    ),
}

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


def read_mmsa(path: str | Path, *, name: str | None = None) -> Dataset:
    """The dataset in an MMSA feature file.

    Recorded lengths are taken as they are (frames of zeros inside a sequence are common); 0 becomes 1. An aligned file
    records none: audio and vision then have as many steps as the text has tokens, [CLS] and [SEP] included; without
    `text_bert`, they end at the last frame that is not all zeros.

    Args:
      path: the pickle.
      name: "mosi", "mosei" or "sims"; by default recognised by the file's SHA-256, its columns, its sizes or its path.

    Raises:
      InputError: the file is missing, damaged, or would run code; the corpus cannot be recognised; or the data are
        wrong (see `validate`).
    """
    path = user_path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if name is not None and name not in KINDS:
        raise InputError(f"unknown corpus {name!r}; expected one of {', '.join(KINDS)}")
    splits = _split_dicts(safe_pickle.load(path), path)
    digest = _sha256(path)
    kind = name or _recognise(path, digest, splits)
    published = digest in PUBLISHED.values()
    if not published and (kind, path.name) in PUBLISHED:
        warnings.warn(
            f"{path}: not the file of this name that MMSA published for {kind} (SHA-256 {digest}); read as it is",
            DataWarning,
            stacklevel=2,
        )
    recorded = all("audio_lengths" in split or "vision_lengths" in split for split in splits.values())
    columns = {split: _columns(values, Place(source=str(path), split=split)) for split, values in splits.items()}
    card = _card(kind, path, columns["train"], digest=digest, published=published, recorded=recorded)
    return validate(card, columns, source=str(path))


def _split_dicts(content: Any, path: Path) -> dict[str, Mapping[str, Any]]:
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds {type(content).__name__}, expected a dict with train, valid and test")
    for split in SPLITS:
        if not isinstance(content.get(split), dict):
            found = ", ".join(map(str, content)) or "nothing"
            raise InputError(
                f"{path}: split {split} is missing; found {found}, expected a dict with train, valid and test"
            )
        if not all(isinstance(key, str) for key in content[split]):
            raise InputError(f"{path}: split {split} has a column whose name is no text")
    extra = [str(key) for key in content if key not in SPLITS and key not in _UNUSED_ENTRIES]
    extra += sorted(
        {
            key
            for split in SPLITS
            for key in content[split]
            if key not in _COLUMN_OF_KEY and not _UNUSED_KEYS.fullmatch(key)
        }
    )
    if extra:
        warnings.warn(f"{path}: not used: {', '.join(extra)}", DataWarning, stacklevel=3)
    return {split: content[split] for split in SPLITS}


def _sha256(path: Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _recognise(path: Path, digest: str, splits: Mapping[str, Mapping[str, Any]]) -> str:
    for (kind, _), known in PUBLISHED.items():
        if digest == known:
            return kind
    train = splits["train"]
    sizes = tuple(train[key].shape[-1] if getattr(train.get(key), "ndim", 0) == 3 else 0 for key in ("audio", "vision"))
    for kind, facts in KINDS.items():
        if sizes in facts.sizes:
            return kind
    # Other features: the nearest part of the path that names a corpus.
    for part in reversed(path.absolute().parts):
        found = _CORPUS_IN_PATH.findall(part.lower())
        if found:
            return found[-1]
    if "regression_labels_T" in train:
        return "sims"  # the only one of them with unimodal labels
    raise InputError(f"{path}: cannot tell which corpus this is; say name={', name='.join(map(repr, KINDS))}")


def _columns(values: Mapping[str, Any], place: Place) -> dict[str, np.ndarray]:
    """MMSA's columns under our names, each as an array of its kind."""
    for key in ("id", "regression_labels"):
        if key not in values:
            found = ", ".join(values) or "nothing"
            place.refuse(key, f"missing column (there are {found})", f"{COLUMNS[_COLUMN_OF_KEY[key]]}")
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
            columns[f"{name}_length"] = _lengths(columns, name)
    return columns


def _texts(value: Any, key: str, place: Place) -> np.ndarray:
    array = np.asarray(value)
    if array.ndim != 1:
        place.refuse(key, f"shape {list(array.shape)}", "text [N]")
    if array.dtype.kind == "U":
        return array
    texts = [
        element.decode("utf-8", "replace") if isinstance(element, bytes) else element for element in array.tolist()
    ]
    for row, element in enumerate(texts):
        # MMSA's ids are text; those of one's own file may be whole numbers.
        if not isinstance(element, str) and not (key == "id" and type(element) is int):
            place.refuse(key, f"{type(element).__name__}", "text", row=row)
    return np.array([str(element) for element in texts])


def _numbers(value: Any, key: str, place: Place) -> np.ndarray:
    try:
        array = np.asarray(value)
        if array.dtype == object:
            array = array.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        array = np.asarray("no numbers")
    if array.ndim == 0 or array.dtype.kind not in "fiub":
        place.refuse(key, "something other than numbers in rows of one shape", f"{COLUMNS[_COLUMN_OF_KEY[key]]}")
    if COLUMNS[_COLUMN_OF_KEY[key]].shape == ("N",) and array.shape[1:] == (1,):
        return array[:, 0]
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


def _lengths(columns: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """Valid steps of each row, as recorded, or as the text or the zeros at the end tell.  # [N] i32"""
    sequence, steps = columns[name], columns[name].shape[1]
    if f"{name}_length" in columns:
        recorded = columns[f"{name}_length"]
        return np.where(recorded == 0, 1, recorded)
    text_bert = columns.get("text_bert")
    if text_bert is not None and text_bert.shape == (len(sequence), 3, steps):
        return (text_bert[:, 1] != 0).sum(axis=1).astype(np.int32).clip(1, steps)
    holds = (sequence != 0).any(axis=2)  # [N, A]
    last = steps - holds[:, ::-1].argmax(axis=1)
    return np.where(holds.any(axis=1), last, 1).astype(np.int32)


def _card(
    kind: str, path: Path, train: Mapping[str, np.ndarray], *, digest: str, published: bool, recorded: bool
) -> Card:
    facts = KINDS[kind]
    text = [described for column, described in _TEXT_WORDS.items() if column in train]
    modalities = {"text": ", ".join(text) or "absent"}
    for name, described in (("audio", facts.audio), ("vision", facts.vision)):
        if name in train:
            steps, size = train[name].shape[1:]
            modalities[name] = f"{described if published else 'features'}, {size}-d, up to {steps} steps"
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
        name=kind,
        language=facts.language,
        metrics=kind,
        label_range=facts.label_range,
        provenance=f"MMSA feature file {shown(path.name)}, SHA-256 {digest} ({verified}).",
        modalities=modalities,
        caveats=caveats,
    )


_TEXT_WORDS = {
    "raw_text": "raw transcript",
    "text_bert": "word pieces (text_bert)",
    "text": "precomputed features",
}
