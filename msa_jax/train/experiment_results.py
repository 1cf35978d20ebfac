"""What an experiment writes when all of its runs have ended."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from msa_jax.csv_text import labels_csv, predictions_csv
from msa_jax.data.schema import HELD_OUT, Dataset
from msa_jax.errors import InputError
from msa_jax.train.atomic import write_arrays, write_json, write_text
from msa_jax.train.experiment_dir import Result
from msa_jax.train.settings import RunConfig


def write_results(
    path: Path, content: RunConfig, dataset: Dataset, results: Sequence[Result], summary: Mapping[str, Any]
) -> None:
    """Writes predictions, the last unimodal labels, and at the end `result.json`, which says that all of it is there.

    summary: what `result.json` says of all runs.
    """
    for split in HELD_OUT:
        part = dataset.splits()[split]
        scores = {str(result.seed): result.scores[split] for result in results}
        text = part.raw_text if content.with_text else None
        write_text(path / "predictions" / f"{split}.csv", predictions_csv(part.id, part.label, scores, text=text))
    for result in results:
        if result.records:  # the last unimodal labels of every training sample, if the method generates any
            named = {"id": np.asarray(dataset.train.id, np.str_), "label": dataset.train.label, **result.records}
            write_arrays(path / "labels" / f"{result.seed}.npz", named)
            write_text(path / "labels" / f"{result.seed}.csv", labels_csv(named))
    head = {"method": content.method, "dataset": content.dataset, "metrics": content.metrics}
    runs = [
        {
            "seed": result.seed,
            "hyperparameters": content.computed,
            "best_epoch": result.best_epoch,
            "epochs": result.epochs,
            "valid": result.valid,
            "test": result.test,
        }
        for result in results
    ]
    write_json(path / "result.json", {**head, "runs": runs, **summary})


def check_rows(folder: Path, seeds: Sequence[int], results: Sequence[Result], dataset: Dataset) -> None:
    """Raises InputError if what a run left in `folder/SEED` when it ended is not of this seed or of these samples."""
    for seed, result in zip(seeds, results, strict=True):
        arrays = [(dataset.train, array) for array in result.records.values()]
        for split in HELD_OUT:
            arrays += [(dataset.splits()[split], array) for array in result.scores[split].values()]
        if result.seed != seed or any(array.shape != (len(part),) for part, array in arrays):
            raise InputError(f"{folder / str(seed)}: the result of another run or of other samples")
