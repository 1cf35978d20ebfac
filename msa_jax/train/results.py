"""What a finished run leaves in its folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from msa_jax.train.checkpoint import save_params
from msa_jax.train.folder import read_json, write_arrays, write_json
from msa_jax.train.stages import HELD_OUT


@dataclass(frozen=True, kw_only=True)
class Result:
    """A finished run. scores: {split: {head: [N]}}; valid, test: metrics of `prediction`; best_epoch over all stages."""

    seed: int
    best_epoch: int
    epochs: int
    valid: dict[str, float]
    test: dict[str, float]
    scores: dict[str, dict[str, np.ndarray]]


def save_result(folder: Path, result: Result, params: Any, records: Mapping[str, Any]) -> None:
    """Writes the best parameters, the scores, the method's last records, and at last what says that the run is finished."""
    save_params(folder, params)
    scores = {f"{split}/{head}": array for split, heads in result.scores.items() for head, array in heads.items()}
    write_arrays(folder / "scores.npz", scores)
    write_arrays(folder / "records.npz", {name: np.asarray(value) for name, value in records.items()})
    write_json(folder / "result.json", {name: value for name, value in vars(result).items() if name != "scores"})


def load_result(folder: Path) -> Result:
    """The result that a finished run left in its folder."""
    content = read_json(folder / "result.json")
    scores: dict[str, dict[str, np.ndarray]] = {split: {} for split in HELD_OUT}
    with np.load(folder / "scores.npz", allow_pickle=False) as file:
        for name in file.files:
            split, head = name.split("/", 1)
            scores[split][head] = file[name]
    return Result(**content, scores=scores)
