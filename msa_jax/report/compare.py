"""Compares finished experiments on one dataset: mean ± sd, paired differences over seeds, and a bootstrap over samples.

Nothing is selected here: every experiment given is reported, on the split given.
"""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from msa_jax.data.videos import groups_of
from msa_jax.errors import InputError
from msa_jax.metrics import METRIC_KEYS, summarise
from msa_jax.report.differences import (
    FEW_SEEDS,
    LEAST_UNITS,
    RESAMPLES,
    BootstrapDifference,
    PairedDifference,
    absolute_errors,
    bootstrap_difference,
    paired_difference,
)
from msa_jax.report.experiment import experiment_names, number_format, predictions_path, read_predictions, read_result
from msa_jax.report.table import METRIC_LABELS, UNITS, Table, interval_cell, metric_cell


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One experiment: its runs and the mean and sample standard deviation of every metric (None: not defined)."""

    name: str
    path: str
    method: str
    seeds: tuple[int, ...]
    mean: dict[str, float | None]
    std: dict[str, float | None]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What `compare` found; the first experiment is the one all others are compared with."""

    dataset: str
    split: str
    metrics: tuple[str, ...]  # in the order of the tables
    experiments: tuple[Summary, ...]
    differences: tuple[PairedDifference, ...]
    bootstrap: tuple[BootstrapDifference, ...]
    bootstrap_seed: int
    notes: tuple[str, ...]  # what is missing: seeds, shared seeds, a spread, defined metrics, predictions

    def tables(self) -> list[Table]:
        """The means, lying whichever way is narrower; then paired differences and bootstrap where there are any."""
        means, *others = self._means(), self._paired(), self._bootstrap()
        return [min((means, means.transposed()), key=Table.width), *(table for table in others if table.rows)]

    def text(self) -> str:
        """Aligned columns for a terminal."""
        return "\n\n\n".join(table.text() for table in self.tables())

    def markdown(self) -> str:
        """GitHub-flavoured tables."""
        return "\n\n".join(table.markdown() for table in self.tables())

    def latex(self) -> str:
        """One `table` float each; needs \\usepackage{booktabs}."""
        return "\n\n".join(table.latex() for table in self.tables())

    def json(self) -> str:
        """Every number unrounded, as fractions; `null` where a number is not defined."""
        found = dataclasses.asdict(self)
        found["differences"] = [{**dataclasses.asdict(d), "reading": d.reading} for d in self.differences]
        return json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False)

    def _caption(self, what: str) -> str:
        return f"{self.dataset}, {self.split}: {what}"

    def _means(self) -> Table:
        optimistic = "Checkpoints were chosen on these samples: the numbers are optimistic."
        return Table(
            columns=("experiment", "method", "runs", *(METRIC_LABELS[key] for key in self.metrics)),
            rows=[
                (e.name, e.method, len(e.seeds), *(metric_cell(key, e.mean[key], e.std[key]) for key in self.metrics))
                for e in self.experiments
            ],
            caption=self._caption("mean ± sample standard deviation over seeds"),
            notes=(UNITS, *([optimistic] if self.split == "valid" else []), *self.notes),
        )

    def _paired(self) -> Table:
        shown = [d for d in self.differences if d.n]
        return Table(
            columns=(
                "experiment",
                "metric",
                "seeds",
                "difference",
                "sd",
                "s.e.",
                "95 % interval",
                "detectable",
                "reading",
            ),
            rows=[
                (
                    d.name,
                    METRIC_LABELS[d.metric],
                    d.n,
                    metric_cell(d.metric, d.mean, signed=True),
                    metric_cell(d.metric, d.sd),
                    metric_cell(d.metric, d.standard_error),
                    interval_cell(d.metric, d.low, d.high),
                    metric_cell(d.metric, d.detectable),
                    d.reading,
                )
                for d in shown
            ],
            caption=self._caption(f"difference from {self.experiments[0].name}, paired by seed"),
            notes=(
                "t interval of the mean difference: what other seeds would change, on the same samples. "
                "Acc and F1 in percentage points.",
                "detectable: a true difference of this size would be shown in four of five repetitions with so many seeds "
                "of this spread; a smaller one may be there and not be seen.",
                f"{sum(d.low is not None for d in shown)} intervals, none widened for their number: "
                "where there is no difference at all, about one in 20 still misses zero.",
            ),
        )

    def _bootstrap(self) -> Table:
        return Table(
            columns=("experiment", "samples", "resampled", "MAE difference", "95 % interval"),
            rows=[
                (
                    b.name,
                    b.n,
                    _resampled(b),
                    metric_cell("MAE", b.mean, signed=True),
                    interval_cell("MAE", b.low, b.high),
                )
                for b in self.bootstrap
            ],
            caption=self._caption(f"MAE difference from {self.experiments[0].name}, bootstrap over samples"),
            notes=(
                f"{RESAMPLES} paired resamples (seed {self.bootstrap_seed}), runs as they are: what another set of samples of "
                "this size would change, not what other seeds would.",
                "Samples of a video are alike, so whole videos are resampled if the ids name any. The spread of fewer than "
                f"{LEAST_UNITS} says little: no interval.",
            ),
        )


def compare(folders: Sequence[str | Path], *, split: str = "test", seed: int = 0) -> Comparison:
    """Reads finished experiments on one dataset and sets the others against the first.

    Args:
        folders: experiment folders; the first is the baseline of the differences.
        split: "test" or "valid".
        seed: of the bootstrap.

    Raises:
        InputError: no folders, one folder twice, an experiment that is unfinished or damaged, two datasets, two metric
            kinds, the same dataset name with other rows or labels, or a seed twice within one experiment.
    """
    if not folders:
        raise InputError("nothing to compare: expected at least one experiment folder")
    experiments = [_load(name, folder, split) for name, folder in zip(experiment_names(folders), folders, strict=True)]
    first, *others = experiments
    for other in others:
        _refuse_other_dataset(first, other)
    with_samples = [e for e in experiments if e.ids is not None]
    for other in with_samples[1:]:
        _refuse_other_rows(with_samples[0], other)
    metrics = tuple(key for key in METRIC_LABELS if key in METRIC_KEYS[first.kind])
    summaries = [_summary(experiment, metrics) for experiment in experiments]
    differences = [
        paired_difference(first.runs, other.runs, metric=key, name=other.name) for other in others for key in metrics
    ]
    return Comparison(
        dataset=first.dataset,
        split=split,
        metrics=metrics,
        experiments=tuple(summaries),
        differences=tuple(differences),
        bootstrap=tuple(_bootstrap(first, other, seed) for other in others if {first, other} <= {*with_samples}),
        bootstrap_seed=seed,
        notes=tuple(_notes(summaries, experiments, differences)),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Experiment:
    """One folder as read: scores of its runs on one split and, where there are predictions, its rows sorted by id."""

    name: str
    path: Path
    method: str
    dataset: str
    kind: str
    runs: dict[int, dict[str, float | None]]  # seed -> metrics
    predictions: Path
    precision: str | None = None  # the number format that it was computed in; None where it does not tell
    ids: np.ndarray | None = None  # [N] str
    label: np.ndarray | None = None  # [N] f32
    heads: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)  # "seed/head" -> [N] f32


def _load(name: str, folder: str | Path, split: str) -> _Experiment:
    predictions = predictions_path(folder, split)  # refuses an unknown split
    result = read_result(folder)
    seeds = [run["seed"] for run in result["runs"]]
    twice = next((seed for seed in seeds if seeds.count(seed) > 1), None)
    if twice is not None:  # a mean over several hyper-parameter points is the mean of no method
        raise InputError(f"{folder}: seed {twice} has {seeds.count(twice)} runs: expected one run per seed")
    scores = result["runs"][0][split]
    kinds = [kind for kind, keys in METRIC_KEYS.items() if set(keys) <= set(scores)]
    if not kinds:
        raise InputError(
            f"{folder}: {split} has metrics {', '.join(scores)}: expected those of {', '.join(METRIC_KEYS)}"
        )
    kind = max(kinds, key=lambda kind: len(METRIC_KEYS[kind]))  # those of sims are among those of regression
    rows = {}
    if predictions.is_file():
        ids, label, heads = read_predictions(folder, split)
        order = np.argsort(ids)
        rows = {"ids": ids[order], "label": label[order], "heads": {head: heads[head][order] for head in heads}}
    return _Experiment(
        name=name,
        path=Path(folder),
        method=result["method"],
        dataset=result["dataset"],
        kind=kind,
        runs={run["seed"]: run[split] for run in result["runs"]},
        predictions=predictions,
        precision=number_format(result),
        **rows,
    )


def _refuse_other_dataset(first: _Experiment, other: _Experiment) -> None:
    if other.dataset != first.dataset:
        raise InputError(f"{first.path} is on {first.dataset}, {other.path} on {other.dataset}: expected one dataset")
    if other.kind != first.kind:
        raise InputError(
            f"{first.path} has the metrics of {first.kind}, {other.path} those of {other.kind}: expected one kind"
        )


def _refuse_other_rows(first: _Experiment, other: _Experiment) -> None:
    """Two experiments under one dataset name must have been scored on the same samples with the same labels."""
    where = f"{first.predictions} and {other.predictions}"
    strange = np.setxor1d(first.ids, other.ids)
    if strange.size:
        raise InputError(
            f"{where}: id {str(strange[0])!r} is in only one (one of {strange.size}): expected the same samples"
        )
    strange = np.flatnonzero(first.label != other.label)
    if strange.size:
        row = strange[0]
        labels = f"{first.label[row]} and {other.label[row]}"
        raise InputError(f"{where}: id {str(first.ids[row])!r} has labels {labels}: expected the same labels")


def _summary(experiment: _Experiment, metrics: Sequence[str]) -> Summary:
    mean, std = summarise([{key: run[key] for key in metrics} for run in experiment.runs.values()])
    name, path, seeds = experiment.name, str(experiment.path), tuple(experiment.runs)
    return Summary(name=name, path=path, method=experiment.method, seeds=seeds, mean=mean, std=std)


def _bootstrap(first: _Experiment, other: _Experiment, seed: int) -> BootstrapDifference:
    """Over the seeds both have, so that this view and the paired one are centred on the same number; else over all."""
    shared = [run for run in first.runs if run in other.runs]
    errors = []
    for experiment in (first, other):
        columns = [f"{run}/prediction" for run in shared or experiment.runs]
        missing = [column for column in columns if column not in experiment.heads]
        if missing:
            raise InputError(f"{experiment.predictions}: no column {missing[0]!r}: expected one per run of result.json")
        predictions = np.stack([experiment.heads[column] for column in columns])  # [R, N]
        errors.append(absolute_errors(predictions, experiment.label, kind=experiment.kind))
    groups = groups_of(first.ids)
    return bootstrap_difference(*errors, name=other.name, groups=groups, seed=seed)


def _resampled(found: BootstrapDifference) -> str:
    what = "samples" if found.units == found.n else f"{found.units} video{'s' * (found.units > 1)}"
    return what if found.low is not None else f"none: {what}"


def _notes(
    summaries: Sequence[Summary], experiments: Sequence[_Experiment], differences: Sequence[PairedDifference]
) -> list[str]:
    """What the tables cannot show, for want of seeds, of a spread, of defined values or of predictions."""
    notes = []
    for summary, experiment in zip(summaries, experiments, strict=True):
        first, n = summaries[0], len(summary.seeds)
        if n == 1:
            notes.append(f"{summary.name} has one seed, so there is no spread.")
        elif n < FEW_SEEDS:
            notes.append(f"{summary.name}: {n} seeds, fewer than {FEW_SEEDS}: the spread itself is uncertain.")
        of_first = experiments[0].precision
        if experiment.precision and of_first and experiment.precision != of_first:
            notes.append(f"{summary.name} was computed in {experiment.precision}, {first.name} in {of_first}.")
        undefined = [METRIC_LABELS[key] for key, mean in summary.mean.items() if mean is None]
        if undefined:
            notes.append(f"{summary.name}: {', '.join(undefined)} not defined in at least one run, so no mean.")
        shared = len(set(summary.seeds) & set(first.seeds))
        if shared < 2 and summary is not first:
            few, lost = ("only one", "no interval of the difference") if shared else ("no", "no paired difference")
            notes.append(f"{summary.name}: {few} seed in common with {first.name}: {lost}.")
        elif shared < FEW_SEEDS and summary is not first:
            notes.append(
                f"{summary.name}: {shared} seeds in common with {first.name}, fewer than {FEW_SEEDS}: only a large difference "
                "could have been shown."
            )
        equal = [METRIC_LABELS[d.metric] for d in differences if d.name == summary.name and d.equal]
        if equal:
            notes.append(
                f"{summary.name}: the difference of {', '.join(equal)} is the same with every seed, which says nothing of "
                "other seeds: no interval."
            )
        if len(summaries) > 1 and experiment.ids is None:
            notes.append(f"{summary.name}: no predictions/{experiment.predictions.name}: no bootstrap over samples.")
    return notes
