"""The curves of an experiment over its epochs: loss terms on train, metrics on valid, weights of the terms."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np

from msa_jax.errors import InputError
from msa_jax.paths import user_path
from msa_jax.report import figures
from msa_jax.report.experiment import last_stage, read_metrics
from msa_jax.report.table import axis
from msa_jax.train.atomic import read_json
from msa_jax.train.experiment_dir import check_not_ours


def plot(folder: str | Path, out: str | Path | None = None) -> Path:
    """Draws the curves of an experiment, finished or not, of its last stage so far.

    Args:
      folder: of the experiment.
      out: the figure, .png, .svg or .pdf; by default `curves.png` in the folder.

    Returns:
      Where it is.

    Raises:
      InputError: no experiment, no epoch yet, matplotlib is not installed, or the figure cannot be written.
    """
    figures.check_matplotlib()
    folder = user_path(folder)
    path = folder / "curves.png" if out is None else user_path(out)
    if out is not None:
        check_not_ours(path)
    figures.save(curves_figure(folder), path)
    return path


def curves_figure(folder: Path) -> Any:
    """The figure of `plot`, a matplotlib Figure."""
    runs = read_curves(folder)
    seeds = f"{len(runs)} seed{'s' * (len(runs) > 1)}"
    title = f"{folder.resolve().name}: loss terms on train, metrics on valid, {seeds}"
    return figures.loss_curves(runs, title=title, xlabel="epoch")


def read_curves(folder: Path) -> list[figures.Curves]:
    """One for each run: every term of train, every metric of valid and every weight that all runs have, NaN if not defined.

    Raises:
      InputError: no experiment, no epoch yet, or lines that are not those of one.
    """
    path = folder / "metrics.jsonl"
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder}: not an experiment: it has no config.json")
    lines = read_metrics(folder) if path.is_file() else []
    if not lines:
        raise InputError(f"{folder}: no epoch has been trained yet")
    best = _best_epochs(folder)
    try:
        own = {
            seed: [line for line in lines if line["seed"] == seed] for seed in {line["seed"]: None for line in lines}
        }
        kept = {seed: last_stage(of) for seed, of in own.items()}
        names = [_named(of[0]).keys() for of in kept.values()]
        shared = [name for name in names[0] if all(name in other for other in names)]
        for of in kept.values():
            if any(one["epoch"] >= after["epoch"] for one, after in itertools.pairwise(of)):
                raise ValueError("epochs that do not ascend")
        return [
            figures.Curves(
                step=np.array([line["epoch"] for line in of], np.int64),
                values={name: np.array([_number(_named(line).get(name)) for line in of]) for name in shared},
                best=best.get(seed),
            )
            for seed, of in kept.items()
        ]
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f"{path}: not the lines of an experiment ({error!r})") from None


def _named(line: Any) -> dict[str, Any]:
    """{curve: number} of a line, the loss first; accuracies and F1 in percent."""
    train = {f"{name}, train": value for name, value in line["train"].items()}
    loss = {name: train[name] for name in train if name == "loss, train"}
    valid = {}
    for name, value in line["valid"].items():
        label, factor = axis(name)
        valid[f"{label}, valid"] = None if value is None else factor * value
    weights = {f"weight of {name}": value for name, value in line.get("weights", {}).items()}
    return {**loss, **train, **valid, **weights}


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _best_epochs(folder: Path) -> dict[int, int]:
    """{seed: best epoch} of a finished experiment."""
    path = folder / "result.json"
    if not path.is_file():
        return {}
    try:
        return {int(run["seed"]): int(run["best_epoch"]) for run in read_json(path)["runs"]}
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{path}: not the result of an experiment ({error!r})") from None
