"""The error on valid over the epochs of a training's last stage, one curve for each variant: drawn and in numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from msa_jax.data.schema import Dataset
from msa_jax.errors import InputError
from msa_jax.report import panels
from msa_jax.report.comparability import Comparability, remarks
from msa_jax.report.experiment import last_stage, read_metrics
from msa_jax.report.study import Outcome, Rendering, Study
from msa_jax.report.table import Table, summary_cells

METRIC = "MAE"
NEAR = 0.02  # so much above the lowest counts as having arrived
KEYS = {"first": 3, "lowest": 3, "last": 3, "lowest_epoch": 1, "near_epoch": 1, "change": 4}  # digits


def read_curves(outcome: Outcome) -> dict[int, np.ndarray]:
    """{seed: [E]} of every run of a variant: MAE on valid after each epoch of its last stage.

    Raises:
      InputError: a run has no epochs, or a line is not what training writes.
    """
    lines = read_metrics(outcome.path)
    try:
        return {seed: _curve([line for line in lines if line["seed"] == seed]) for seed in outcome.runs}
    except (LookupError, TypeError, ValueError) as error:
        raise InputError(f"{outcome.path / 'metrics.jsonl'}: not the epochs of every run ({error!r})") from None


def _curve(lines: Sequence[Mapping[str, Any]]) -> np.ndarray:
    return np.array([line["valid"][METRIC] for line in last_stage(lines)], np.float64)


def summary(curve: np.ndarray) -> dict[str, float]:
    """A curve [E] in six numbers.

    first, lowest, last: of its values. lowest_epoch: the first that has the lowest, 1-based. near_epoch: the first that is
    at most 2 % above it. change: mean absolute difference from one epoch to the next, 0 where there is one epoch.
    """
    lowest = curve.min()
    return {
        "first": float(curve[0]),
        "lowest": float(lowest),
        "last": float(curve[-1]),
        "lowest_epoch": float(np.argmin(curve) + 1),
        "near_epoch": float(np.argmax(curve <= (1 + NEAR) * lowest) + 1),
        "change": float(np.abs(np.diff(curve)).mean()) if len(curve) > 1 else 0.0,
    }


def render(study: Study, dataset: Dataset, outcomes: Sequence[Outcome], against: Comparability) -> Rendering:
    """One figure with all variants, and a row for each."""
    found = {outcome.variant.name: read_curves(outcome) for outcome in outcomes if not outcome.reason}
    content = {
        "metric": METRIC,
        "variants": {
            name: {str(seed): {"epochs": curve.tolist(), **summary(curve)} for seed, curve in curves.items()}
            for name, curves in found.items()
        },
    }
    figure = panels.valid_curves(
        {name: list(curves.values()) for name, curves in found.items()},
        title=f"{dataset.card.name}: {METRIC} on valid",
        ylabel=METRIC,
    )
    caption = f"{study.title}: {dataset.card.name}, {METRIC} on valid"
    table = _table(content["variants"], caption, remarks(study, outcomes, against))
    return Rendering(content=content, tables=(table,), figures={"figure.png": figure})


def _table(variants: Mapping[str, Mapping[str, Any]], caption: str, notes: Sequence[str]) -> Table:
    rows = [(name, len(seeds), *summary_cells(list(seeds.values()), KEYS)) for name, seeds in variants.items()]
    return Table(
        columns=("variant", "runs", "first", "lowest", "last", "lowest at", f"within {NEAR:.0%} at", "change"),
        rows=rows,
        caption=caption,
        notes=(
            "Mean ± sample standard deviation over seeds, epochs counted within the last stage. lowest at: the epoch of the "
            f"lowest. within {NEAR:.0%} at: the first epoch that is at most so much above the lowest. change: mean absolute "
            "difference from one epoch to the next, which also counts the fall.",
            *notes,
        ),
    )
