"""Loss terms over the steps of training: drawn, and how far each falls and rises, from the records of the runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from msa_jax.data.schema import Dataset
from msa_jax.errors import InputError
from msa_jax.report import figures
from msa_jax.report.comparability import Comparability, remarks
from msa_jax.report.experiment import last_stage, read_lines
from msa_jax.report.study import Curve, Outcome, Rendering, Study
from msa_jax.report.table import Table, number, summary_cells

KEYS = dict.fromkeys(("first", "lowest", "best_epoch", "last_epoch", "rise"), 3)  # digits


@dataclass(frozen=True, kw_only=True, eq=False)
class StepHistory:
    """One run, [K] records. step: last mini-batch of a record, counted over the epochs. steps: how many are in it.
    epoch: 1-based. terms: {name: [K] means}. All of the last stage. best_epoch: that of the parameters that were kept;
    None where unknown.
    """

    seed: int
    step: np.ndarray
    steps: np.ndarray
    epoch: np.ndarray
    terms: dict[str, np.ndarray]
    best_epoch: int | None


def check(study: Study) -> None:
    """Every variant must record."""
    for variant in study.variants:
        if not variant.options.get("record_steps"):
            raise InputError(
                f"study {study.name}: variant {variant.name} records nothing; expected option record_steps"
            )


def read_histories(outcome: Outcome) -> list[StepHistory]:
    """The records of every run of a variant.

    Raises:
      InputError: nothing was recorded, or a line is not a record.
    """
    return [_read_history(outcome, seed) for seed in outcome.runs]


def _read_history(outcome: Outcome, seed: int) -> StepHistory:
    path = outcome.path / "steps" / f"{seed}.jsonl"
    lines = read_lines(path)
    try:
        lines = last_stage(lines)
        names = list(lines[0]["train"])
        return StepHistory(
            seed=seed,
            step=np.array([line["step"] for line in lines], np.int64),
            steps=np.array([line["steps"] for line in lines], np.int64),
            epoch=np.array([line["epoch"] for line in lines], np.int64),
            terms={name: np.array([line["train"][name] for line in lines], np.float64) for name in names},
            best_epoch=outcome.epochs[seed],
        )
    except (LookupError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not the loss terms of every few steps ({error!r})") from None


def curves(history: StepHistory, wanted: Sequence[Curve]) -> dict[str, np.ndarray]:
    """{name: [K]}: the sum of the terms of each curve that were recorded; every recorded term where none is wanted."""
    found = {}
    for curve in wanted or [Curve(name=name, terms=(name,)) for name in history.terms]:
        terms = [history.terms[name] for name in curve.terms if name in history.terms]
        if terms:
            values = np.sum(terms, axis=0)
            found[curve.name] = np.exp(values) if curve.exponential else values
    return found


def summary(history: StepHistory, values: np.ndarray) -> dict[str, float | None]:
    """A curve [K] in five numbers.

    first: of the first record. lowest: of any record. best_epoch, last_epoch: means over the mini-batches of these.
    rise: the furthest that the mean of an epoch is above that of an epoch before it; 0 for a curve that only falls.
    """
    epochs = np.unique(history.epoch)
    means = np.array([np.average(values[at], weights=history.steps[at]) for at in (history.epoch == e for e in epochs)])
    best = means[epochs == history.best_epoch]
    return {
        "first": float(values[0]),
        "lowest": float(values.min()),
        "best_epoch": float(best[0]) if len(best) else None,
        "last_epoch": float(means[-1]),
        "rise": float((means - np.minimum.accumulate(means)).max()),
    }


def render(study: Study, dataset: Dataset, outcomes: Sequence[Outcome], against: Comparability) -> Rendering:
    """One figure and one table for each variant."""
    content: dict[str, Any] = {"variants": {}}
    tables, drawn = [], {}
    possible = [outcome for outcome in outcomes if not outcome.reason]
    for outcome in possible:
        name, histories = outcome.variant.name, read_histories(outcome)
        found = [curves(history, study.curves) for history in histories]
        content["variants"][name] = {
            str(history.seed): {
                "records": str(outcome.path / "steps" / f"{history.seed}.jsonl"),
                "steps": int(history.step[-1]),
                "best_epoch": history.best_epoch,
                "curves": {curve: summary(history, values) for curve, values in one.items()},
            }
            for history, one in zip(histories, found, strict=True)
        }
        caption, every = f"{name} on {dataset.card.name}", int(histories[0].steps.max())
        sums = [curve.name for curve in study.curves if "loss" in curve.terms]
        but = f", but for {', '.join(sums)}, the weighted sum" if sums else ""
        notes = (f"Unweighted{but}.", *remarks(study, outcomes, against))
        tables.append(_table(content["variants"][name], f"{study.title}: {caption}", every, notes))
        file = "figure.png" if len(possible) == 1 else f"figure-{outcome.variant.slug}.png"
        drawn[file] = figures.loss_curves(
            [_drawn(history, one) for history, one in zip(histories, found, strict=True)],
            title=f"{caption}: loss terms, means over {every} mini-batch{'es' * (every > 1)}",
        )
    return Rendering(content=content, tables=tuple(tables), figures=drawn)


def _drawn(history: StepHistory, found: Mapping[str, np.ndarray]) -> figures.Curves:
    """What is drawn of a run: the records that are whole, since the few rows of an epoch's rest are noise."""
    whole = history.steps == history.steps.max()
    ends = history.step[history.epoch == history.best_epoch]
    return figures.Curves(
        step=history.step[whole],
        values={name: values[whole] for name, values in found.items()},
        best=int(ends[-1]) if len(ends) else None,
    )


def _table(seeds: Mapping[str, Mapping[str, Any]], caption: str, every: int, notes: Sequence[str]) -> Table:
    runs = [run["curves"] for run in seeds.values()]
    rows = [(name, *summary_cells([run[name] for run in runs], KEYS)) for name in runs[0]]
    ends = ", ".join(f"{number(run['steps'], 0)} steps, best epoch {run['best_epoch']}" for run in seeds.values())
    return Table(
        columns=("curve", f"first {every} steps", "lowest", "best epoch", "last epoch", "largest rise"),
        rows=rows,
        caption=f"{caption}, training rows",
        notes=(
            "Mean ± sample standard deviation over seeds. A step is a mini-batch. largest rise: the furthest that the mean of "
            f"an epoch is above that of an earlier one. Seeds: {ends}.",
            *notes,
        ),
    )
