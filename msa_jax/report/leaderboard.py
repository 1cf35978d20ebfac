"""A leaderboard: many methods on one dataset, each with the same seeds, as one page.

Test selects nothing: checkpoints, the order of the methods and the one that others are compared with are chosen on valid.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from msa_jax import methods as known
from msa_jax.data.schema import Dataset
from msa_jax.errors import InputError
from msa_jax.metrics import METRIC_KEYS, summarise
from msa_jax.report import figures, leaderboard_figure
from msa_jax.report.comparability import Comparability, remarks
from msa_jax.report.differences import PairedDifference, absolute_errors, holm, paired_difference
from msa_jax.report.experiment import read_predictions, read_result
from msa_jax.report.ranks import Ranks, rank_methods
from msa_jax.report.studies import Kind, run_study
from msa_jax.report.study import Outcome, Rendering, Study, Variant
from msa_jax.report.table import METRIC_LABELS, Cell, Table, metric_cell, number

FLOOR = "text_only"
LEVEL = 0.05  # of the family of all comparisons with one method


def leaderboard(
    data: Dataset | str | Path,
    *,
    methods: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    out: str | Path | None = None,
    preset: str | None = None,
    protocol: str | None = None,
    log: TextIO | None = sys.stderr,
    options: Mapping[str, Any] | None = None,
) -> Rendering:
    """Trains what is missing of every method, resumes what is unfinished, and writes one page into `out`.

    A method that is not possible on the dataset, or whose loss becomes NaN, is named with the reason and stops no other.

    Args:
      data: what `load_dataset` takes.
      methods: by name; by default all that there are.
      seeds: of every method; by default those of `train`.
      out: one experiment folder for each method, and `leaderboard.json`, `.md`, `.tex` and, with matplotlib, `.png`; by
        default `runs/leaderboard-{dataset}`.
      protocol: "paper" or "reference", one for all methods; by default "paper", whatever the presets say.
      preset, log, options: as in `reproduce`.

    Raises:
      InputError: an unknown method, one twice, a folder that holds something else, or no method that is possible.
    """
    names = list(known.METHODS if methods is None else methods)
    for name in names:
        known.get(name)
        if names.count(name) > 1:
            raise InputError(f"method {name} is given {names.count(name)} times; expected each once")
    if not names:
        raise InputError("no methods; expected at least one")
    study = Study(
        name="leaderboard",
        description="",
        title="Leaderboard",
        kind="leaderboard",
        paper="",
        datasets={},
        metrics=(),
        variants=tuple(Variant(name=name, method=name) for name in names),
        context=(),
        notes=(),
    )
    given = {"seeds": seeds, "out": out, "preset": preset, "log": log, "options": options}
    return run_study(study, KIND, data, protocol=protocol or "paper", **given)


def render(study: Study, dataset: Dataset, outcomes: Sequence[Outcome], against: Comparability) -> Rendering:
    """Scores on test with their differences from `text_only` and from the best on valid, ranks, and what it cost."""
    found = _ordered(outcomes)
    keys = [key for key in METRIC_LABELS if key in METRIC_KEYS[dataset.card.metrics]]
    best = found[0]["method"]
    bases = {"best": best}
    if FLOOR in [row["method"] for row in found]:
        bases = {FLOOR: FLOOR, **bases}
    runs = {outcome.variant.method: outcome.runs for outcome in outcomes if outcome.runs}
    differences = {name: _differences(runs, base, keys) for name, base in bases.items()}
    for row in found:
        row["difference"] = {name: differences[name].get(row["method"]) for name in bases}
    ranks = rank_methods(_errors(found, dataset)) if len(found) > 1 else None
    notes = [*_notes(found, bases), *remarks(study, outcomes, against)]
    shown = bases if best != FLOOR else {FLOOR: FLOOR}  # not the same twice
    drawn = {}
    if len(found) > 1 and figures.available():
        drawn["leaderboard.png"] = leaderboard_figure.draw(
            {name: _intervals(found, name) for name in shown},
            names=shown,
            ranks=ranks,
            title=f"{dataset.card.name}, test: MAE, {len(found[0]['seeds'])} seeds",
        )
    else:
        notes.append("No figure: it needs two methods, and matplotlib: pip install 'msa-jax[plots]'")
    content = {
        "metrics": keys,
        "best": best,
        "best_by": "lowest mean MAE on valid",
        "rows": found,
        "ranks": None if ranks is None else _ranks_json(ranks),
        "not_possible": {outcome.variant.method: outcome.reason for outcome in outcomes if outcome.reason},
        "notes": notes,
    }
    tables = [_scores(dataset, found, keys, notes), *(_compared(found, name, base) for name, base in shown.items())]
    tables += [] if ranks is None else [_ranked(ranks)]
    tables.append(_costs(found))
    return Rendering(content=content, tables=tuple(table for table in tables if table.rows), figures=drawn)


def _ordered(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """A row for each method that came to its end, the lowest MAE on valid first."""
    rows = []
    for outcome in outcomes:
        if not outcome.runs:
            continue
        result = read_result(outcome.path)
        mean, std = summarise(list(outcome.runs.values()))
        valid, _ = summarise([run["valid"] for run in result["runs"]])
        rows.append(
            {
                "method": outcome.variant.method,
                "protocol": outcome.settings.protocol,
                "preset": outcome.settings.preset,
                "seeds": list(outcome.runs),
                "mean": mean,
                "std": std,
                "valid": valid,
                "runs": [{"seed": seed, "test": run} for seed, run in outcome.runs.items()],
                "minutes": result["seconds"] / 60,
                "parameters": result.get("parameters"),  # experiments of earlier versions did not count them
                **{name: result.get("process", {}).get(name) for name in ("peak_memory_mb", "compile_seconds")},
                "folder": str(outcome.path),
            }
        )
    if not rows:
        reasons = "; ".join(f"{outcome.variant.name}: {outcome.reason}" for outcome in outcomes)
        raise InputError(f"leaderboard: no method came to its end: {reasons}")
    return sorted(rows, key=lambda row: row["valid"]["MAE"])


def _differences(
    runs: Mapping[str, Mapping[int, Mapping[str, float | None]]], base: str, keys: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """{method: {metric: difference from the base}}, of all others; p values of a metric are adjusted over the methods."""
    others = [name for name in runs if name != base]
    found: dict[str, dict[str, Any]] = {name: {} for name in others}
    for key in keys:
        each = [paired_difference(runs[base], runs[name], metric=key, name=name) for name in others]
        for difference, adjusted in zip(each, holm([one.p for one in each]), strict=True):
            found[difference.name][key] = _difference_json(difference, adjusted)
    return found


def _difference_json(found: PairedDifference, adjusted: float | None) -> dict[str, Any]:
    shown = {key: getattr(found, key) for key in ("n", "mean", "sd", "low", "high", "p", "detectable")}
    # Holm's value is never below p, so that what it shows the interval shows too.
    reading = found.reading if adjusted is None or adjusted < LEVEL else "no difference shown"
    return {**shown, "p_holm": adjusted, "reading": reading}


def _errors(rows: Sequence[Mapping[str, Any]], dataset: Dataset) -> dict[str, np.ndarray]:
    """{method: [N] absolute errors on test, averaged over its runs}."""
    found = {}
    for row in rows:
        _, label, heads = read_predictions(row["folder"], "test")
        scores = np.stack([heads[f"{seed}/prediction"] for seed in row["seeds"]])
        found[row["method"]] = absolute_errors(scores, label, kind=dataset.card.metrics)
    return found


def _intervals(rows: Sequence[Mapping[str, Any]], base: str) -> dict[str, Mapping[str, Any] | None]:
    return {row["method"]: (row["difference"][base] or {}).get("MAE") for row in rows}


def _ranks_json(ranks: Ranks) -> dict[str, Any]:
    return {
        "mean": ranks.mean,
        "samples": ranks.samples,
        "friedman_p": ranks.p,
        "critical_difference": ranks.difference,
        "groups": [list(group) for group in ranks.groups],
    }


def _notes(rows: Sequence[Mapping[str, Any]], bases: Mapping[str, str]) -> list[str]:
    seeds = len(rows[0]["seeds"])
    notes = [
        f"Order and best by the mean MAE on valid; test has selected nothing. Protocol {rows[0]['protocol']} in every row.",
        "Acc and F1 in percent. MAE: lower is better; all others: higher is better.",
    ]
    if FLOOR not in bases:
        notes.append(f"No difference from {FLOOR}, which is not among the methods.")
    if seeds < 5:
        notes.append(f"{seeds} seed{'s' * (seeds > 1)}, fewer than 5: only a large difference could have been shown.")
    return notes


def _scores(dataset: Dataset, rows: Sequence[Mapping[str, Any]], keys: Sequence[str], notes: Sequence[str]) -> Table:
    return Table(
        columns=("method", "runs", "MAE valid", *(METRIC_LABELS[key] for key in keys)),
        rows=[
            (
                row["method"],
                len(row["seeds"]),
                metric_cell("MAE", row["valid"]["MAE"]),
                *(metric_cell(key, row["mean"][key], row["std"][key]) for key in keys),
            )
            for row in rows
        ],
        caption=f"Leaderboard: {dataset.card.name}, test, mean ± sample standard deviation over seeds",
        notes=tuple(notes),
    )


def _compared(rows: Sequence[Mapping[str, Any]], name: str, base: str) -> Table:
    lines: list[Sequence[Cell]] = []
    for row in rows:
        if row["difference"][name] is None:
            continue
        mae = row["difference"][name]["MAE"]
        low, high, shown = (metric_cell("MAE", mae[key], signed=True) for key in ("low", "high", "mean"))
        interval = None if mae["low"] is None else f"[{low}, {high}]"
        tested = number(mae["p"]), number(mae["p_holm"]), mae["reading"], metric_cell("MAE", mae["detectable"])
        lines.append((row["method"], mae["n"], shown, interval, *tested))
    return Table(
        columns=("method", "seeds", "MAE difference", "95 % interval", "p", "p Holm", "reading", "detectable"),
        rows=lines,
        caption=f"MAE on test: difference from {base}{'' if name == base else ', the best on valid'}, paired by seed",
        notes=(
            "t interval of the mean over seeds, on the same samples, not widened for the number of methods. "
            f"p Holm: adjusted for the {len(lines)} methods; the reading goes by it, at 5 %.",
            "detectable: a true difference of this size would be shown in four of five repetitions, before Holm.",
        ),
    )


def _ranked(ranks: Ranks) -> Table:
    p = "" if ranks.p is None else f" Friedman's test of equal ranks: p {number(ranks.p)}."
    groups = "; ".join(", ".join(group) for group in ranks.groups) or "none"
    return Table(
        columns=("method", "mean rank"),
        rows=[(name, number(rank, 2)) for name, rank in ranks.mean.items()],
        caption=f"Mean rank by the absolute error of each of {ranks.samples} test samples, averaged over seeds",
        notes=(
            f"Critical difference of Nemenyi's test at 5 %: {number(ranks.difference, 2)}.{p} Not told apart: {groups}.",
            "What another set of samples of this size would change, not what other seeds would. A small error on many samples "
            "is a good rank, whatever the error on the others.",
        ),
    )


def _costs(rows: Sequence[Mapping[str, Any]]) -> Table:
    def cell(value: float | None, digits: int) -> str | None:
        return None if value is None else f"{value:,.{digits}f}"

    return Table(
        columns=("method", "minutes", "parameters", "peak memory MiB", "compiling s"),
        rows=[
            (
                row["method"],
                cell(row["minutes"], 1),
                cell(row["parameters"], 0),
                cell(row["peak_memory_mb"], 0),
                cell(row["compile_seconds"], 1),
            )
            for row in rows
        ],
        caption="What training all seeds took",
        notes=(
            "minutes: of epochs, all seeds, compiling included. Memory and compiling: of the process that finished the "
            "experiment; on a GPU or TPU the highest since the process began, earlier methods included. Programs that are kept "
            "from before are only read.",
        ),
    )


KIND = Kind(render=render, tolerant=True, stem="leaderboard")
