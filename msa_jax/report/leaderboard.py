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
from msa_jax.data.videos import number_of_videos
from msa_jax.errors import InputError, install
from msa_jax.metrics import METRIC_KEYS, summarise
from msa_jax.report import figures, leaderboard_figure, leaderboard_tables
from msa_jax.report.comparability import Comparability, remarks
from msa_jax.report.differences import absolute_errors
from msa_jax.report.experiment import read_predictions, read_result
from msa_jax.report.ranks import Ranks, rank_methods
from msa_jax.report.studies import Kind, run_study
from msa_jax.report.study import Outcome, Rendering, Study, Variant
from msa_jax.report.table import METRIC_LABELS


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
    data = leaderboard_tables.data_name(
        dataset.card.name, (outcome.settings.options.leave_out for outcome in outcomes if outcome.runs)
    )
    leaderboard_tables.set_differences(found, keys)
    videos = number_of_videos(dataset.test.id)
    ranks = rank_methods(_errors(found, dataset), videos=videos) if len(found) > 1 else None
    notes = [*leaderboard_tables.notes(found), *remarks(study, outcomes, against)]
    drawn = {}
    if len(found) > 1 and figures.available():
        drawn["leaderboard.png"] = leaderboard_figure.draw(
            {name: _intervals(found, name) for name in leaderboard_tables.shown_bases(found)},
            names=leaderboard_tables.shown_bases(found),
            ranks=ranks,
            title=f"{data}, test: MAE, {len(found[0]['seeds'])} seeds",
        )
    else:
        notes.append(f"No figure: it needs two methods, and matplotlib: {install('plots')}")
    content = {
        "metrics": keys,
        "best": best,
        "best_by": "lowest mean MAE on valid",
        "rows": found,
        "ranks": None if ranks is None else _ranks_json(ranks),
        "not_possible": {outcome.variant.method: outcome.reason for outcome in outcomes if outcome.reason},
        "notes": notes,
    }
    tables = leaderboard_tables.tables(found, keys, dataset=data, ranks=ranks, notes=notes)
    return Rendering(content=content, tables=tables, figures=drawn)


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
    return sorted(rows, key=lambda row: row["valid"]["MAE"])


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
        "videos": ranks.videos,
    }


KIND = Kind(render=render, tolerant=True, stem="leaderboard")
