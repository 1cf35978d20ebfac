"""A dataset's card and what its arrays hold, for people and for programs."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from msa_jax.data.columns import LABELS
from msa_jax.data.leaks import Fit, Leaks
from msa_jax.data.native import card_entries
from msa_jax.data.padding import filled_frames
from msa_jax.data.schema import Dataset, Split
from msa_jax.errors import visible
from msa_jax.modalities import MODALITIES


def describe(dataset: Dataset) -> dict[str, Any]:
    """Everything `card_text` shows, and the fingerprint of each column, as numbers, text, lists and dicts (valid JSON).

    Keys: those of card.json; `source`; `splits`, in each `rows`, a summary of each label column (`mean`, `std`, `min`,
    `max`; counts `negative`, `zero`, `positive`) and of each sequence length in steps, words or tokens (`mean`,
    `median`, `max`), and how many frames within the lengths are all zero (`zero_frames`); `sha256`.
    """
    return {
        **card_entries(dataset),
        "source": dataset.source,
        "splits": {name: _split_summary(split) for name, split in dataset.splits().items()},
        "sha256": dataset.fingerprint(),
    }


def _split_summary(split: Split) -> dict[str, Any]:
    columns = split.columns()
    lengths = {name: columns[name] for name in ("audio_length", "vision_length") if name in columns}
    if split.raw_text is not None:
        lengths["words"] = np.array([len(text.split()) for text in split.raw_text.tolist()])
    if split.text_bert is not None:
        lengths["tokens"] = split.text_bert[:, 1].sum(axis=1)
    return {
        "rows": len(split),
        "labels": {name: _label_summary(columns[name]) for name in LABELS if name in columns},
        "zero_frames": {
            name: _zero_frames(columns[name], columns[f"{name}_length"])
            for name in ("audio", "vision")
            if name in columns
        },
        "lengths": {
            name: {"mean": float(value.mean()), "median": float(np.median(value)), "max": int(value.max())}
            for name, value in lengths.items()
        },
    }


def _zero_frames(sequence: np.ndarray, length: np.ndarray) -> int:
    filled = filled_frames(sequence)
    return int((~filled & (np.arange(filled.shape[1]) < length[:, None])).sum())


def _label_summary(label: np.ndarray) -> dict[str, float | int]:
    exact = label.astype(np.float64)
    return {
        "mean": float(exact.mean()),
        "std": float(exact.std()),
        "min": float(exact.min()),
        "max": float(exact.max()),
        "negative": int((exact < 0).sum()),
        "zero": int((exact == 0).sum()),
        "positive": int((exact > 0).sum()),
    }


def card_text(dataset: Dataset) -> str:
    """The card as a page of text, without a newline at the end."""
    return render(describe(dataset))


def render(description: Mapping[str, Any]) -> str:
    """The page of text for what `describe` returned."""
    low, high = description["label_range"]
    head = [
        ("name", description["name"]),
        ("source", description["source"]),
        ("language", description["language"]),
        ("metrics", description["metrics"]),
        ("labels", f"{low:g} to {high:g}"),
        *((name, description["modalities"][name]) for name in MODALITIES if name in description["modalities"]),
        ("provenance", description["provenance"]),
        ("caveats", description["caveats"]),
    ]
    splits = description["splits"]
    columns = [
        (name, f"{entry['dtype']} [{', '.join(map(str, entry['shape']))}]")
        for name, entry in description["columns"].items()
    ]
    rows = [["", *splits], ["rows", *(str(split["rows"]) for split in splits.values())]]
    first = next(iter(splits.values()))
    for name in first["labels"]:
        rows.append([name, *(_label_cell(split["labels"][name]) for split in splits.values())])
    for name in first["lengths"]:
        rows.append([name, *(_length_cell(split["lengths"][name]) for split in splits.values())])
    for name in first["zero_frames"]:
        if any(split["zero_frames"][name] for split in splits.values()):
            rows.append([f"{name} zeros", *(str(split["zero_frames"][name]) for split in splits.values())])
    parts = [
        _aligned([[label, text] for label, text in head if text]),
        "Columns\n" + _aligned([list(column) for column in columns], indent="  "),
        "Splits (labels: mean ± standard deviation, negative/zero/positive; lengths: mean, median, longest; "
        "zeros: frames of zeros within the lengths)\n" + _aligned(rows, indent="  "),
    ]
    return visible("\n\n".join(parts))


def leaks_text(leaks: Leaks) -> str:
    """What was found of features that know the labels of train, as a table and in sentences."""
    videos = f"{leaks.videos} videos" if leaks.videos else "samples, because the ids do not name videos"
    head = (
        "Leaks (ridge regression of the label on the mean of each modality over time; train: cross-validated in "
        f"{leaks.folds} folds of {videos}; valid: fitted to all of train)"
    )
    rows = [["", "train", "valid"]]
    for name, found in leaks.modalities.items():
        rows.append([f"{name}, {found.width}-d", _fit_cell(found.train), _fit_cell(found.valid)])
    rows.append(["median of train", *(f"MAE {leaks.median[split]:.3f}" for split in ("train", "valid"))])
    return "\n".join([head, _aligned(rows, indent="  "), *leaks.sentences()])


def _fit_cell(fit: Fit) -> str:
    return f"MAE {fit.mae:.3f}, Corr " + ("-" if fit.corr is None else f"{fit.corr:.2f}")


def _label_cell(label: Mapping[str, Any]) -> str:
    return f"{label['mean']:.2f} ± {label['std']:.2f}, {label['negative']}/{label['zero']}/{label['positive']}"


def _length_cell(length: Mapping[str, Any]) -> str:
    return f"{length['mean']:.1f}, {length['median']:g}, {length['max']}"


def _aligned(rows: list[list[str]], indent: str = "") -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return "\n".join(
        indent + "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    )
