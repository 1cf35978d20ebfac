"""The feature files of MulT and of the methods before it, which CMU published: one pickle with train, valid and test.

Read here: aligned and unaligned CMU-MOSI and CMU-MOSEI. A word is its GloVe vector, and there are no transcripts. Sequences are
padded with zeros in front. In aligned files, step i of text, audio and vision is the same word. The pickle is opened by
`msa_jax.safe_pickle`, which runs nothing that is in it.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from msa_jax import safe_pickle
from msa_jax.data.columns import COLUMNS, FEATURES
from msa_jax.data.identity import said
from msa_jax.data.mmsa import entries_of_file, split_dicts
from msa_jax.data.padding import filled_frames, is_sequence, lengths_of, padded_in_front, settle_padding, shifted
from msa_jax.data.schema import SPLITS, Card, Dataset, validate
from msa_jax.data.values import Place, numbers, refuse_blank, texts
from msa_jax.errors import DataWarning
from msa_jax.paths import sha256, shown, user_path

_KEYS = ("id", "text", "audio", "vision", "labels")
_OTHERS = (
    "regression_labels",
    "raw_text",
    "text_bert",
    "audio_lengths",
    "vision_lengths",
)  # keys of MMSA's files alone
_GLOVE_WIDTH = 300


def is_bare_cmu(values: Any) -> bool:
    """Whether a split without labels may be from such a file: sequences padded in front, and nothing that other files have."""
    if not isinstance(values, Mapping) or not any(values.get(name) is not None for name in FEATURES):
        return False
    if any(values.get(name) is not None for name in _OTHERS):
        return False
    arrays = [values[name] for name in FEATURES if is_sequence(values.get(name))]
    return any(padded_in_front([filled_frames(array)]) for array in arrays)


def is_cmu(content: Any) -> bool:
    """Whether a pickle's content, or one split of it, has its labels where these files have them."""
    if not isinstance(content, Mapping):
        return False
    parts = [content, *(content[name] for name in SPLITS if isinstance(content.get(name), Mapping))]
    return any("labels" in part and "regression_labels" not in part for part in parts)


def read_cmu(
    path: str | Path,
    *,
    name: str | None = None,
    language: str | None = None,
    label_range: tuple[float, float] | None = None,
    metrics: str | None = None,
) -> Dataset:
    """The dataset in a feature file of MulT (mosi_data.pkl, mosei_senti_data_noalign.pkl and the like).

    Steps are moved in front of the padding, and lengths are counted from the zeros: a sequence begins at its first step that is
    not all zero, in an aligned file at the first step at which any modality is not. Both are said in one warning, and so are
    NaN and infinite features, which become 0.

    Args:
      path: the pickle. Each split has `labels` [N, 1, 1] or [N] and any of `text` [N, T, 300], `audio` [N, A, Da] and `vision`
        [N, V, Dv]. `id` is [N] text or bytes, or [N, 3]: clip or video, start and end; rows are numbered if there is none.
      name, language, label_range, metrics: what the dataset is, as for `read_mmsa`.

    Raises:
      InputError: the file is missing, damaged, or would run code; or the data are wrong (see `validate`).
    """
    path = user_path(path)
    return dataset_of(
        safe_pickle.load(path), path, said(name=name, language=language, label_range=label_range, metrics=metrics)
    )


def dataset_of(content: Any, path: Path, words: Mapping[str, Any]) -> Dataset:
    """The dataset in the content of such a file; `words` as `said` has them."""
    splits = split_dicts(content, path, _KEYS)
    columns = columns_of(splits, source=str(path))
    digest = sha256(path)
    entries = entries_of_file(words, path, digest, None, columns)
    aligned = _is_aligned(columns)
    return validate(_card(entries, path, columns["train"], digest=digest, aligned=aligned), columns, source=str(path))


def columns_of(splits: Mapping[str, Mapping[str, Any]], *, source: str) -> dict[str, dict[str, np.ndarray]]:
    """Our columns of each split, with steps in front of the padding and with lengths.

    Raises:
      InputError: no labels, several for a sample, or a column that is no array of numbers of its shape.
    """
    columns: dict[str, dict[str, np.ndarray]] = {}
    parts = {}
    for split, values in splits.items():
        place = Place(source=source, split=split)
        refuse_blank(place, values, _KEYS)
        columns[split] = {"label": _labels(values, place)}
        for name in FEATURES:
            if values.get(name) is not None:
                array = numbers(place, name, values[name], f"{COLUMNS[name]}")
                if array.ndim != 3:
                    place.refuse(name, f"shape {list(array.shape)}", f"{COLUMNS[name]}")
                columns[split][name] = array
        parts[split] = _id_parts(values, len(columns[split]["label"]), place)
    for split, ids in _ids(parts).items():
        columns[split]["id"] = ids
    _move_steps(columns, source)
    return settle_padding(columns, source=source)


def _labels(values: Mapping[str, Any], place: Place) -> np.ndarray:
    if values.get("labels") is None:
        place.refuse("labels", f"missing column (there are {', '.join(values) or 'nothing'})", "labels [N, 1, 1]")
    array = numbers(place, "labels", values["labels"], "labels [N, 1, 1]")
    if set(array.shape[1:]) - {1}:
        place.refuse("labels", f"shape {list(array.shape)}", "one score for each sample, labels [N, 1, 1]")
    return array.reshape(len(array))


def _id_parts(values: Mapping[str, Any], rows: int, place: Place) -> list[tuple[str, ...]]:
    """The texts that name each sample: (clip, start, end), or one; a row number where the file names none."""
    given = values.get("id")
    if given is None:
        return [(f"{place.split}_{row}",) for row in range(rows)]
    if isinstance(given, np.ndarray) and given.ndim > 1:
        flat = given.reshape(len(given), -1)
        named = [texts(place, "id", column, whole_numbers=True) for column in _written(flat).T]
        return list(zip(*(column.tolist() for column in named), strict=True))
    return [(name,) for name in texts(place, "id", given, whole_numbers=True).tolist()]


def _written(parts: np.ndarray) -> np.ndarray:
    """Times as they are written, where they are numbers among texts."""
    if parts.dtype.kind == "O":
        parts = parts.copy()
        for place, value in np.ndenumerate(parts):
            parts[place] = f"{value:g}" if isinstance(value, (float, np.floating)) else value
    return parts


def _ids(parts: Mapping[str, list[tuple[str, ...]]]) -> dict[str, np.ndarray]:
    """[N] text of each split: the first part if all differ, and otherwise all parts, the video's name in front."""
    first = [row[0] for rows in parts.values() for row in rows]
    clips = len(set(first)) == len(first)

    def joined(row: tuple[str, ...]) -> str:
        return row[0] if clips or len(row) == 1 else f"{row[0]}$_${'_'.join(row[1:])}"

    return {split: np.array([joined(row) for row in rows], np.str_) for split, rows in parts.items()}


def _is_aligned(columns: Mapping[str, Mapping[str, np.ndarray]]) -> bool:
    """Whether text, audio and vision have the same steps, which then are words."""
    steps = {split[name].shape[1] for split in columns.values() for name in FEATURES if name in split}
    return len(steps) == 1 and all(sum(name in split for name in FEATURES) > 1 for split in columns.values())


def _move_steps(columns: Mapping[str, dict[str, np.ndarray]], source: str) -> None:
    """Puts padding behind the steps in all splits, and adds the lengths of audio and vision."""
    filled = {
        split: {name: filled_frames(arrays[name]) for name in FEATURES if name in arrays}
        for split, arrays in columns.items()
    }
    if _is_aligned(columns):
        for frames in filled.values():
            if len({one.shape for one in frames.values()}) == 1:
                together = np.any(list(frames.values()), axis=0)
                frames.update(dict.fromkeys(frames, together))
    moved: dict[str, int] = {}
    for name in FEATURES:
        there = {split: frames[name] for split, frames in filled.items() if name in frames}
        in_front = padded_in_front(there.values())
        for split, frames in there.items():
            length = lengths_of(frames, in_front=in_front)
            if name != "text":
                columns[split][f"{name}_length"] = length
            if in_front and frames.size:
                moved[name] = moved.get(name, 0) + int((frames.any(axis=1) & ~frames[:, 0]).sum())
                columns[split][name] = shifted(columns[split][name], length)
    if moved:
        rows = sum(len(arrays["label"]) for arrays in columns.values())
        each = ", ".join(f"{name} {count}" for name, count in moved.items())
        warnings.warn(
            f"{source}: the padding was in front and was moved behind the steps ({each} of {rows} samples)",
            DataWarning,
            stacklevel=4,
        )


def _card(
    entries: Mapping[str, Any], path: Path, train: Mapping[str, np.ndarray], *, digest: str, aligned: bool
) -> Card:
    modalities = dict.fromkeys(FEATURES, "absent")
    for name in FEATURES:
        if name in train:
            steps, width = train[name].shape[1:]
            glove = name == "text" and width == _GLOVE_WIDTH
            modalities[name] = f"{'GloVe word vectors' if glove else 'features'}, {width}-d, up to {steps} steps"
    order = "Step i of every modality is word i. " if aligned else ""
    return Card(
        **entries,
        provenance=f"MulT feature file {shown(path.name)}, SHA-256 {digest} (unverified: no checksum was published).",
        modalities=modalities,
        caveats=f"{order}Lengths are counted from the zeros. No transcripts. Splits are not those of MMSA's files.",
    )
