"""Hand-made experiment folders."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def write_experiment(tmp_path: Path) -> Callable[..., Path]:
    """write_experiment(name, {seed: metrics}, ...) -> folder with result.json and, given ids, predictions."""

    def write(
        name: str,
        runs: dict[int, dict],
        *,
        method: str = "self_mm",
        dataset: str = "mosi",
        ids: list[str] | None = None,
        label: np.ndarray | None = None,
        heads: dict[str, np.ndarray] | None = None,
        split: str = "test",
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        result = {
            "method": method,
            "dataset": dataset,
            "runs": [
                {"seed": seed, "hyperparameters": {}, "best_epoch": 3, "valid": scores, "test": scores}
                for seed, scores in runs.items()
            ],
            "mean": {},
            "std": {},
            "seconds": 1.0,
        }
        (folder / "result.json").write_text(json.dumps(result))
        (folder / "config.json").write_text(json.dumps({"method": method}))
        if ids is not None:
            (folder / "predictions").mkdir()
            with (folder / "predictions" / f"{split}.csv").open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(["id", "label", *heads])
                writer.writerows(zip(ids, label, *heads.values(), strict=True))
        return folder

    return write


@pytest.fixture
def mosi_scores() -> Callable[..., dict]:
    """mosi_scores(MAE=0.7, ...) -> all eight metrics, the others at fixed values."""

    def scores(**given: float | None) -> dict:
        binary = ("Has0_acc_2", "Has0_F1_score", "Non0_acc_2", "Non0_F1_score")
        keys = (*binary, "Mult_acc_5", "Mult_acc_7", "MAE", "Corr")
        return {**dict.fromkeys(keys, 0.5), **given}

    return scores
