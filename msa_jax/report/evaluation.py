"""Scoring a finished experiment again, from its folder alone."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msa_jax import metrics
from msa_jax.data import load_dataset
from msa_jax.errors import InputError
from msa_jax.paths import user_path
from msa_jax.report.table import Table, mean_sd
from msa_jax.train.atomic import read_json
from msa_jax.train.predictor import Predictor


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Metrics of every run on one split. runs: {seed: {metric: value}}; mean and std over the runs."""

    folder: Path
    dataset: str
    split: str
    runs: dict[int, dict[str, float]]
    mean: dict[str, float | None]
    std: dict[str, float | None]

    def json(self) -> dict[str, Any]:
        """As `result.json` has it."""
        clean = lambda values: {key: value if value == value else None for key, value in values.items()}  # noqa: E731
        return {
            "folder": str(self.folder),
            "dataset": self.dataset,
            "split": self.split,
            "runs": [{"seed": seed, self.split: clean(values)} for seed, values in self.runs.items()],
            "mean": self.mean,
            "std": self.std,
        }

    def text(self) -> str:
        """A table for a terminal."""
        rows = [
            [key, *(f"{values[key]:.4f}" for values in self.runs.values()), mean_sd(self.mean[key], self.std[key])]
            for key in self.mean
        ]
        return Table(
            columns=["metric", *map(str, self.runs), "mean ± sd"],
            rows=rows,
            caption=f"{self.folder} on {self.dataset}, {self.split}",
        ).text()


def evaluate(folder: str | Path, *, data: Any = None, split: str = "test") -> Evaluation:
    """Predicts a split with every run of an experiment and scores it.

    Args:
      folder: the experiment.
      data: what `load_dataset` takes; by default the dataset it was trained on.
      split: "train", "valid" or "test".

    Raises:
      InputError: not a finished experiment, the dataset is gone, or does not fit.
    """
    path = user_path(folder)
    predictor = Predictor.load(path)
    source = data if data is not None else read_json(path / "config.json")["data"]
    try:
        dataset = load_dataset(source)
    except InputError as error:
        hint = "" if data is not None else "; name it with --data"
        raise InputError(f"{error}{hint}") from None
    part = dataset.splits()[split]
    runs = {
        seed: metrics.evaluate(
            heads["prediction"], part.label, kind=dataset.card.metrics, label_range=dataset.card.label_range
        )
        for seed, heads in predictor.predict_runs(part).items()
    }
    mean, std = metrics.summarise(list(runs.values()))
    return Evaluation(folder=path, dataset=dataset.card.name, split=split, runs=runs, mean=mean, std=std)
