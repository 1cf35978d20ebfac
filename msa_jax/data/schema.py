"""What a dataset is: three splits of columns, and the card that travels with them."""

import hashlib
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import numpy as np

from msa_jax.data.columns import COLUMNS, MODALITY_COLUMNS, check_columns
from msa_jax.data.identity import CORPORA
from msa_jax.data.values import Place, is_unicode, texts
from msa_jax.errors import DataWarning, InputError
from msa_jax.modalities import MODALITIES, SEQUENCES

SPLITS = ("train", "valid", "test")
HELD_OUT = ("valid", "test")
# What people write for a split, in small letters.
SPLIT_OF = {"train": "train", "valid": "valid", "val": "valid", "validation": "valid", "dev": "valid", "test": "test"}
_HIGHEST = 3e38  # of a label, which is a float32
_LANGUAGES = {"cn": "zh", "chinese": "zh", "english": "en"}  # what else they are called, and their codes
METRICS = ("mosi", "mosei", "sims", "regression")


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Columns of equal length N; None where the column is absent.

    Sequences are padded with zeros at the back; `*_length` counts the valid steps, at least 1. In `text_bert` the
    second axis is token ids, mask (ones, then zeros) and token types.

    To predict, one modality is enough: `Split(raw_text=["...", "..."])`. Ids that are left out are row numbers, labels
    NaN (training needs them), lengths all steps. Lists become arrays.

    Raises:
      InputError: no modality and no id, or a column that is no array.
    """

    id: np.ndarray = None  # pyright: ignore[reportAssignmentType]  # [N] str, distinct
    label: np.ndarray = None  # pyright: ignore[reportAssignmentType]  # [N] f32, in the card's label_range
    raw_text: np.ndarray | None = None  # [N] str
    text_bert: np.ndarray | None = None  # [N, 3, T] i32
    text: np.ndarray | None = None  # [N, T, Dt] f32, precomputed
    audio: np.ndarray | None = None  # [N, A, Da] f32
    audio_length: np.ndarray | None = None  # [N] i32
    vision: np.ndarray | None = None  # [N, V, Dv] f32
    vision_length: np.ndarray | None = None  # [N] i32
    label_t: np.ndarray | None = None  # [N] f32: human label of the text alone
    label_a: np.ndarray | None = None  # [N] f32: of the audio alone
    label_v: np.ndarray | None = None  # [N] f32: of the vision alone
    # Whether the ids are row numbers, of this split or of what it is a part of.
    numbered: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        given = {name: _array(name, value) for name, value in self.columns().items()}
        rows = next((len(array) for array in given.values()), None)
        if rows is None:
            raise InputError("Split: no column; expected at least one of raw_text, text_bert, text, audio, vision")
        given.setdefault("id", np.array([str(row) for row in range(rows)], np.str_))
        given.setdefault("label", np.full(rows, np.nan, np.float32))
        for name in SEQUENCES:
            if name in given and given[name].ndim > 1:
                given.setdefault(f"{name}_length", np.full(rows, given[name].shape[1], np.int32))
        for name, array in given.items():
            object.__setattr__(self, name, array)
        object.__setattr__(self, "numbered", self.id.tolist() == [str(row) for row in range(rows)])

    def __len__(self) -> int:
        return len(self.id)

    def columns(self) -> dict[str, np.ndarray]:
        """The columns that are present, by name."""
        values = {column.name: getattr(self, column.name) for column in fields(self) if column.init}
        return {name: value for name, value in values.items() if value is not None}

    def has(self, modality: str) -> bool:
        """Whether any column carries this modality: "text", "audio" or "vision"."""
        if modality not in MODALITIES:
            raise InputError(f"unknown modality {modality!r}; expected one of {', '.join(MODALITIES)}")
        return any(getattr(self, column) is not None for column in MODALITY_COLUMNS[modality])

    def take(self, rows: Any) -> "Split":
        """The given rows (indices, a slice or a mask) in the given order."""
        part = Split(**{name: value[rows] for name, value in self.columns().items()})
        object.__setattr__(part, "numbered", self.numbered)
        return part


def _array(name: str, value: Any) -> np.ndarray:
    """A column as an array; texts in an array of objects, as pandas has them, as an array of text."""
    if isinstance(value, str) or not hasattr(value, "__len__"):
        raise InputError(f"Split: column {name} is a {type(value).__name__}; expected {COLUMNS[name]}")
    if COLUMNS[name].kind == "text":
        return texts(Place(source="Split", split="given"), name, value, whole_numbers=name == "id")
    if isinstance(value, np.ndarray) and value.dtype == object:
        value = value.tolist()  # whose rows have to be of one shape, as those of any list
    try:
        array = np.asarray(value)
    except (ValueError, TypeError):
        raise InputError(f"Split: column {name}: rows of different shapes; expected {COLUMNS[name]}") from None
    if array.ndim == 0:
        raise InputError(f"Split: column {name} is one {array.dtype}; expected {COLUMNS[name]}")
    return array


@dataclass(frozen=True, kw_only=True)
class Card:
    """What is known of a dataset beyond its arrays.

    `metrics` names the family of scores ("regression" for labels in any range), `label_range` the lowest and highest
    label, `modalities` describes each modality in words. `extract` is the recipe of audio and vision if msa_jax extracted them
    from clips (`msa_jax.extract.recipe`).
    """

    name: str
    language: str = "en"
    metrics: Literal["mosi", "mosei", "sims", "regression"]
    label_range: tuple[float, float]
    provenance: str = ""
    modalities: dict[str, str] = field(default_factory=dict)
    caveats: str = ""
    extract: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Three splits with the same columns. `source` says where it came from, for messages."""

    card: Card
    train: Split
    valid: Split
    test: Split
    source: str

    def splits(self) -> dict[str, Split]:
        return {"train": self.train, "valid": self.valid, "test": self.test}

    def split(self, name: str) -> Split:
        """One split: "train", "valid" or "test". Raises InputError for any other name."""
        if name not in SPLITS:
            raise InputError(f"{self.source}: no split {name!r}; expected one of {', '.join(SPLITS)}")
        return getattr(self, name)

    def has(self, modality: str) -> bool:
        """Whether any column carries this modality: "text", "audio" or "vision"."""
        return self.train.has(modality)

    def fingerprint(self) -> dict[str, str]:
        """SHA-256 of type, shape and contents of each column, under "split/column"."""
        return {
            f"{split_name}/{column}": _sha256(array)
            for split_name, split in self.splits().items()
            for column, array in split.columns().items()
        }


def _sha256(array: np.ndarray) -> str:
    digest = hashlib.sha256(f"{array.dtype.str} {list(array.shape)} ".encode())
    digest.update(np.ascontiguousarray(array).view(np.uint8))
    return digest.hexdigest()


def parse_card(entries: Any, *, source: str) -> Card:
    """The card in a decoded card.json. Entries that are no field of `Card` (counts, columns) are left aside.

    Raises:
      InputError: an entry is missing or is not what it should be.
    """
    if not isinstance(entries, Mapping):
        raise InputError(
            f"{source}: found {type(entries).__name__}, expected an object with name, metrics and label_range"
        )
    missing = [name for name in ("name", "metrics", "label_range") if name not in entries]
    if missing:
        raise InputError(f"{source}: {missing[0]} is missing, expected name, metrics and label_range")
    known = {name: entries[name] for name in (column.name for column in fields(Card)) if name in entries}
    if isinstance(known["label_range"], list):
        known["label_range"] = tuple(known["label_range"])
    card = Card(**known)
    check_card(card, source=source)
    return replace(card, label_range=(float(card.label_range[0]), float(card.label_range[1])))


def check_card(card: Card, *, source: str) -> None:
    """Raises InputError where a field of the card has a wrong type or value."""
    for name in ("name", "language", "provenance", "caveats"):
        if not isinstance(getattr(card, name), str):
            raise InputError(f"{source}: {name} of the card is {getattr(card, name)!r}, expected text")
        if not is_unicode(getattr(card, name)):
            raise InputError(f"{source}: {name} of the card is {getattr(card, name)!r}, expected Unicode text")
    if card.language.lower() in _LANGUAGES:
        raise InputError(
            f"{source}: language of the card is {card.language!r}, expected a code of a language: "
            f"{_LANGUAGES[card.language.lower()]}"
        )
    if not card.name:
        raise InputError(f"{source}: name of the card is empty, expected text")
    if card.metrics not in METRICS:
        raise InputError(f"{source}: metrics of the card is {card.metrics!r}, expected one of {', '.join(METRICS)}")
    ends = card.label_range
    if not (
        isinstance(ends, tuple)
        and len(ends) == 2
        and all(isinstance(end, (int, float)) and not isinstance(end, bool) and abs(end) < _HIGHEST for end in ends)
        and ends[0] < ends[1]
    ):
        shown = list(ends) if isinstance(ends, tuple) else ends
        raise InputError(
            f"{source}: label_range of the card is {shown!r}, expected [low, high], two numbers, low < high"
        )
    corpus = CORPORA.get(card.metrics)
    # Labels beyond would be clipped, and on one side of 0 alone there are no two classes.
    if corpus is not None and not corpus.label_range[0] <= ends[0] < 0 < ends[1] <= corpus.label_range[1]:
        within = _range(corpus.label_range)
        raise InputError(
            f"{source}: metrics {card.metrics} are for labels on both sides of 0, in {within}, and labels here are in "
            f"{_range(ends)}; choose metrics regression (`data import --metrics regression`)"
        )
    if not isinstance(card.modalities, dict) or not all(
        key in MODALITIES and isinstance(value, str) and is_unicode(value) for key, value in card.modalities.items()
    ):
        raise InputError(
            f"{source}: modalities of the card is {card.modalities!r}, "
            f"expected a text for each of {', '.join(MODALITIES)}"
        )
    if card.extract is not None and not isinstance(card.extract, dict):
        raise InputError(f"{source}: extract of the card is {card.extract!r}, expected an object")


def _range(ends: tuple[float, float]) -> str:
    return f"[{ends[0]:g}, {ends[1]:g}]"


def checked(dataset: Dataset) -> Dataset:
    """A dataset that somebody made, with the columns that it would have if it was written and read; itself if it has them.

    Raises:
      InputError: as `validate`, or a feature is NaN or infinite. Ids that nobody gave may be the same in several splits.
    """
    columns = {name: split.columns() for name, split in dataset.splits().items()}
    numbered = [name for name, split in dataset.splits().items() if split.numbered]
    found = validate(dataset.card, columns, source=dataset.source, made=True, numbered=numbered)
    made = {name: split.columns() for name, split in found.splits().items()}
    same = all(array is columns[name][column] for name in made for column, array in made[name].items())
    return dataset if same else found


def validate(
    card: Card,
    splits: Mapping[str, Mapping[str, Any]],
    *,
    source: str,
    made: bool = False,
    numbered: Collection[str] = (),
) -> Dataset:
    """A dataset of checked arrays: float32, int32 and text, the same columns and feature sizes in every split.

    Sequences are padded with zeros to the longest split. NaN and infinite feature values are replaced by 0 in a copy
    and counted in one `DataWarning` per column.

    Args:
      card: what is known of the data.
      splits: train, valid and test; in each an array per column (None counts as absent).
      source: what to call the data in messages.
      made: by somebody who can mend them: NaN and infinite features are refused.
      numbered: splits whose ids are row numbers, which may be the same in several.

    Raises:
      InputError: one line naming source, split, column and row, what was found and what was expected.
    """
    check_card(card, source=source)
    for name in SPLITS:
        if name not in splits:
            raise InputError(f"{source}: split {name} is missing, expected {', '.join(SPLITS)}")
    for name in splits:
        if name not in SPLITS:
            raise InputError(f"{source}: unknown split {name!r}, expected {', '.join(SPLITS)}")
    arrays: dict[str, dict[str, np.ndarray]] = {}
    replaced: dict[str, dict[str, int]] = {}
    for name in SPLITS:
        arrays[name], counts = check_columns(
            splits[name], source=source, split=name, label_range=card.label_range, finite=made
        )
        for column, count in counts.items():
            replaced.setdefault(column, {})[name] = count
    _check_across_splits(arrays, source)
    _check_ids_differ({name: arrays[name]["id"].tolist() for name in SPLITS if name not in numbered}, source)
    _pad_to_longest(arrays)
    for column, counts in replaced.items():
        if any(counts.values()):
            total, each = (
                sum(counts.values()),
                ", ".join(f"{count} in {name}" for name, count in counts.items() if count),
            )
            warnings.warn(
                f"{source}: column {column}: {total} NaN or infinite values replaced by 0 ({each})",
                DataWarning,
                stacklevel=2,
            )
    return Dataset(card=card, source=source, **{name: Split(**columns) for name, columns in arrays.items()})


def _check_across_splits(arrays: Mapping[str, Mapping[str, np.ndarray]], source: str) -> None:
    train = arrays["train"]
    if not any(column in train for columns in MODALITY_COLUMNS.values() for column in columns):
        Place(source=source, split="train").refuse(
            "raw_text", "no modality at all", "at least one of raw_text, text_bert, text, audio, vision"
        )
    for name in ("valid", "test"):
        for column in COLUMNS:
            if (column in train) != (column in arrays[name]):
                there, lacking = ("train", name) if column in train else (name, "train")
                Place(source=source, split=lacking).refuse(column, "missing column", f"it, because {there} has it")
            if column in MODALITIES and column in train:
                size, expected = arrays[name][column].shape[2], train[column].shape[2]
                if size != expected:
                    Place(source=source, split=name).refuse(
                        column, f"feature size {size}", f"{expected}, the size in train"
                    )


def _check_ids_differ(ids: Mapping[str, list[str]], source: str) -> None:
    owner: dict[str, tuple[str, int]] = {}
    for name, own in ids.items():
        for row, id in enumerate(own):
            if id in owner:
                other, other_row = owner[id]
                Place(source=source, split=name).refuse(
                    "id",
                    f"an id that split {other} has in row {other_row}",
                    "every id in one split only",
                    row=row,
                    id=id,
                )
            owner[id] = (name, row)


def _pad_to_longest(arrays: Mapping[str, dict[str, np.ndarray]]) -> None:
    for column, spec in COLUMNS.items():
        if spec.padded is None or column not in arrays["train"]:
            continue
        longest = max(columns[column].shape[spec.padded] for columns in arrays.values())
        for columns in arrays.values():
            array = columns[column]
            short = longest - array.shape[spec.padded]
            if short:
                widths = [(0, short if axis == spec.padded else 0) for axis in range(array.ndim)]
                columns[column] = np.pad(array, widths)
