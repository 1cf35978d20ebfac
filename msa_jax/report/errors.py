"""Where an experiment is wrong: every sample with its text, label and scores, the worst first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from msa_jax.csv_text import csv_of, shortest
from msa_jax.data.schema import Split
from msa_jax.errors import InputError
from msa_jax.metrics import signed_errors
from msa_jax.modalities import UNIMODAL_LABELS
from msa_jax.paths import user_path
from msa_jax.report.evaluation import dataset_of
from msa_jax.report.table import Table
from msa_jax.train.atomic import read_arrays
from msa_jax.train.predictor import Predictor

SORTS = ("error", "label", "score")
TOP = 20  # samples that a terminal shows
_TEXT = 60  # characters of a text that a terminal shows


@dataclass(frozen=True, kw_only=True)
class Errors:
    """Samples of one split, in the order that was asked for.

    columns: {name: [N] text or float32}, NaN where a value is not known: id, text (if the data have it), label, score, error
    (score - label, with metrics of SIMS of both clipped to [-1, 1], as its MAE counts it), scores of the other heads
    (text_score), human labels of one modality, and generated ones (of the training split). Scores and generated labels are
    means over the runs.
    differences: in what the data are not those of training.
    """

    folder: Path
    dataset: str
    split: str
    sort: str
    columns: Mapping[str, np.ndarray]
    differences: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.columns["id"])

    def json(self) -> dict[str, Any]:
        """Everything; null for what is not known."""
        return {
            "folder": str(self.folder),
            "dataset": self.dataset,
            "split": self.split,
            "sort": self.sort,
            "differs_from_training": list(self.differences),
            "rows": [{name: _plain(values[row]) for name, values in self.columns.items()} for row in range(len(self))],
        }

    def csv(self) -> str:
        """Everything, a line for each sample; empty for what is not known."""
        return csv_of({name: [_cell(value) for value in values] for name, values in self.columns.items()})

    def text(self) -> str:
        """A table for a terminal: numbers rounded, long texts cut."""
        rows = [[_shown(name, values[row]) for name, values in self.columns.items()] for row in range(len(self))]
        order = "largest error first" if self.sort == "error" else f"lowest {self.sort} first"
        caption = f"{self.folder} on {self.dataset}, {self.split}: {len(self)} samples, {order}"
        return Table(columns=list(self.columns), rows=rows, caption=caption).text()


def errors(
    folder: str | Path, *, data: Any = None, split: str = "test", sort: str = "error", top: int | None = None
) -> Errors:
    """Predicts a split with every run of an experiment and compares with its labels.

    Args:
      folder: the experiment.
      data: what `load_dataset` takes; by default the dataset it was trained on.
      split: "train", "valid" or "test".
      sort: "error" for the largest absolute error first, "label" or "score" for the lowest first.
      top: that many samples; None for all.

    Raises:
      InputError: not a finished experiment, the dataset is gone, or does not fit; an unknown split or order; top below 1.
    """
    if sort not in SORTS:
        raise InputError(f"sort is {sort!r}; expected one of {', '.join(SORTS)}")
    if top is not None and top < 1:
        raise InputError(f"top is {top}; expected at least 1")
    path = user_path(folder)
    predictor = Predictor.load(path)
    dataset, differences = dataset_of(path, data, predictor)
    part = dataset.split(split)
    runs = list(predictor.predict_runs(part).values())
    scores = {head: np.mean([run[head] for run in runs], axis=0, dtype=np.float32) for head in runs[0]}
    score = scores.pop("prediction")
    columns: dict[str, np.ndarray] = {"id": part.id}
    if part.raw_text is not None:
        columns["text"] = part.raw_text
    columns |= {"label": part.label, "score": score, "error": signed_errors(score, part.label, predictor.metrics)}
    columns |= {f"{head}_score": values for head, values in scores.items()}
    columns |= {name: getattr(part, name) for name in UNIMODAL_LABELS if getattr(part, name) is not None}
    if split == "train":
        columns |= _generated(path, list(predictor.variables), part)
    key = {"error": -np.abs(columns["error"]), "label": part.label, "score": score}[sort]
    order = np.argsort(key, kind="stable")[:top]
    return Errors(
        folder=path,
        dataset=dataset.card.name,
        split=split,
        sort=sort,
        columns={name: values[order] for name, values in columns.items()},
        differences=differences,
    )


def _generated(path: Path, seeds: Sequence[int], part: Split) -> dict[str, np.ndarray]:
    """The labels that a method generated for each sample of the training split, by its id: {generated_t: [N]}."""
    found: dict[str, list[np.ndarray]] = {}
    for seed in seeds:
        file = path / "labels" / f"{seed}.npz"
        if not file.is_file():
            continue
        kept = read_arrays(file)
        place = {name: row for row, name in enumerate(kept.get("id", np.array([])).tolist())}
        rows = np.array([place.get(name, -1) for name in part.id.tolist()])
        for name, values in kept.items():
            if name in ("id", "label") or values.ndim != 1 or not place:
                continue
            own = np.where(rows >= 0, values[rows], np.float32(np.nan)).astype(np.float32)
            found.setdefault(f"generated_{name.removeprefix('label_')}", []).append(own)
    return {name: np.mean(values, axis=0, dtype=np.float32) for name, values in found.items()}


def _plain(value: Any) -> str | float | None:
    if isinstance(value, str):
        return str(value)
    return float(shortest(value)) if np.isfinite(value) else None


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    return shortest(value) if np.isfinite(value) else ""


def _shown(name: str, value: Any) -> str | None:
    if isinstance(value, str):
        text = " ".join(value.split())
        return text if len(text) <= _TEXT else text[: _TEXT - 1] + "…"
    if not np.isfinite(value):
        return None
    return f"{value:+.2f}" if name == "error" else f"{value:.2f}"
