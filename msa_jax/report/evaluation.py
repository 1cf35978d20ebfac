"""Scoring a finished experiment again, from its folder alone."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msa_jax import metrics
from msa_jax.data import load_dataset
from msa_jax.data.schema import Dataset
from msa_jax.errors import DataWarning, InputError
from msa_jax.paths import user_path
from msa_jax.report.table import Table, metric_cell
from msa_jax.train.atomic import read_json
from msa_jax.train.exported import is_exported
from msa_jax.train.predictor import Predictor
from msa_jax.train.prepare import used_part


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Metrics of every run on one split.

    runs: {seed: {metric: value}}. mean, std: over the runs. differences: in what the data are not those of training.
    """

    folder: Path
    dataset: str
    split: str
    runs: dict[int, dict[str, float]]
    mean: dict[str, float | None]
    std: dict[str, float | None]
    differences: tuple[str, ...] = ()

    def json(self) -> dict[str, Any]:
        """As `result.json` has it."""
        clean = lambda values: {key: value if value == value else None for key, value in values.items()}  # noqa: E731
        return {
            "folder": str(self.folder),
            "dataset": self.dataset,
            "split": self.split,
            "differs_from_training": list(self.differences),
            "runs": [{"seed": seed, self.split: clean(values)} for seed, values in self.runs.items()],
            "mean": self.mean,
            "std": self.std,
        }

    def text(self) -> str:
        """A table for a terminal."""
        rows = [
            [
                key,
                *(metric_cell(key, values[key]) for values in self.runs.values()),
                metric_cell(key, self.mean[key], self.std[key]),
            ]
            for key in self.mean
        ]
        return Table(
            columns=["metric", *map(str, self.runs), "mean ± sd"],
            rows=rows,
            caption=f"{self.folder} on {self.dataset}, {self.split}",
            notes=("Acc and F1 in percent.",),
        ).text()


def evaluate(folder: str | Path, *, data: Any = None, split: str = "test") -> Evaluation:
    """Predicts a split with every run of an experiment and scores it.

    A `DataWarning` says in what the data are not those of training.

    Args:
      folder: the experiment.
      data: what `load_dataset` takes; by default the dataset it was trained on.
      split: "train", "valid" or "test".

    Raises:
      InputError: not a finished experiment, the dataset is gone, or does not fit, or an unknown split.
    """
    path = user_path(folder)
    predictor = Predictor.load(path)
    dataset, differences = dataset_of(path, data, predictor)
    part = dataset.split(split)
    runs = {
        seed: metrics.evaluate(
            heads["prediction"], part.label, kind=dataset.card.metrics, label_range=dataset.card.label_range
        )
        for seed, heads in predictor.predict_runs(part).items()
    }
    mean, std = metrics.summarise(list(runs.values()))
    return Evaluation(
        folder=path,
        dataset=dataset.card.name,
        split=split,
        runs=runs,
        mean=mean,
        std=std,
        differences=differences,
    )


def dataset_of(path: Path, data: Any, predictor: Predictor) -> tuple[Dataset, tuple[str, ...]]:
    """The dataset to score an experiment on, and in what it is not that of training, which a `DataWarning` says too.

    Args:
      path, predictor: the experiment.
      data: what `load_dataset` takes; None for the dataset it was trained on.

    Raises:
      InputError: the dataset is gone, or is none.
    """
    source = source_of(path, data)
    try:
        dataset = load_dataset(source)
    except InputError as error:
        hint = "" if data is not None else "; name it with --data"
        raise InputError(f"{error}{hint}") from None
    differences = _differences(path, dataset, predictor)
    if differences:
        warnings.warn(
            f"{dataset.source}: not the data that {path} was trained on: {'; '.join(differences)}",
            DataWarning,
            stacklevel=3,
        )
    return dataset, differences


def source_of(path: Path, data: Any) -> Any:
    """`data`, or what an experiment was trained on if it is None. Raises InputError if the folder does not know it."""
    if data is not None:
        return data
    if is_exported(path):
        raise InputError(f"{path}: exported without its dataset; name one with --data")
    return read_json(path / "config.json")["data"]


def _differences(path: Path, dataset: Dataset, predictor: Predictor) -> tuple[str, ...]:
    card, found = dataset.card, []
    if card.metrics != predictor.metrics:
        found.append(f"metrics {card.metrics} instead of {predictor.metrics}")
    if tuple(card.label_range) != tuple(predictor.inputs.label_range):
        ranges = [f"[{low:g}, {high:g}]" for low, high in (card.label_range, predictor.inputs.label_range)]
        found.append(f"label range {' instead of '.join(ranges)}")
    environment = read_json(path / "environment.json") if (path / "environment.json").is_file() else None
    before = environment.get("dataset_sha256") if isinstance(environment, dict) else None
    if not isinstance(before, dict):
        return (*found, "environment.json does not tell what it was trained on")
    now = used_part(dataset, predictor.options).fingerprint()
    for words, names in (
        ("other contents of", [name for name in now if name in before and before[name] != now[name]]),
        ("no", [name for name in before if name not in now]),
        ("new", [name for name in now if name not in before]),
    ):
        if names:
            found.append(f"{words} {', '.join(names)}")
    return tuple(found)
