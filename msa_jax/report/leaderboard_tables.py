"""The tables of a leaderboard, from the scores of its runs: order, differences, ranks and costs.

A row is a method that came to its end: {"method", "protocol", "seeds", "runs": [{"seed", "test": {...}}], "mean", "std":
both of test, "valid": means, "minutes", "parameters", "peak_memory_mb", "compile_seconds"}. The first has the lowest MAE on
valid.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msa_jax.report.differences import FEW_SEEDS, LEVEL, PairedDifference, holm, paired_difference
from msa_jax.report.ranks import Ranks
from msa_jax.report.table import METRIC_LABELS, UNITS, Cell, Table, interval_cell, metric_cell, number

FLOOR = "text_only"


def data_name(dataset: str, left_out: Iterable[Iterable[str]]) -> str:
    """The name of a dataset, and the modalities that all experiments on it left out."""
    parts = {tuple(names) for names in left_out}
    names = parts.pop() if len(parts) == 1 else ()
    return f"{dataset} without {' and '.join(names)}" if names else dataset


def bases(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What others are compared with, and which method that is: `text_only` if it is there, and the best on valid."""
    best = {"best": rows[0]["method"]}
    return {FLOOR: FLOOR, **best} if FLOOR in [row["method"] for row in rows] else best


def shown_bases(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The same, without the best if that is `text_only`."""
    found = bases(rows)
    return {FLOOR: FLOOR} if found["best"] == FLOOR else found


def set_differences(rows: Sequence[dict[str, Any]], keys: Sequence[str]) -> None:
    """Gives every row its "difference": {base: {metric: difference on test, paired by seed}}, None of the base itself."""
    runs = {row["method"]: {run["seed"]: run["test"] for run in row["runs"]} for row in rows}
    found = {name: _differences(runs, base, keys) for name, base in bases(rows).items()}
    for row in rows:
        row["difference"] = {name: each.get(row["method"]) for name, each in found.items()}


def tables(
    rows: Sequence[Mapping[str, Any]],
    keys: Sequence[str],
    *,
    dataset: str,
    ranks: Ranks | None,
    notes: Sequence[str],
) -> tuple[Table, ...]:
    """Scores on test, differences from each base, ranks and costs; a table without rows is left out.

    Args:
      rows: in order, with their differences.
      keys: the metrics that are shown.
      dataset: its name. ranks: of the same methods. notes: below the first table, one line each.
    """
    compared = [_compared(rows, name, base) for name, base in shown_bases(rows).items()]
    ranked = [] if ranks is None else [_ranked(ranks)]
    found = [_scores(dataset, rows, keys, notes), *compared, *ranked, _costs(rows)]
    return tuple(table for table in found if table.rows)


def notes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """How to read the first table."""
    seeds = len(rows[0]["seeds"])
    found = [
        f"Order and best by the mean MAE on valid; test has selected nothing. Protocol {rows[0]['protocol']} in every row.",
        UNITS,
    ]
    if FLOOR not in bases(rows):
        found.append(f"No difference from {FLOOR}, which is not among the methods.")
    if seeds < FEW_SEEDS:
        found.append(
            f"{seeds} seed{'s' * (seeds > 1)}, fewer than {FEW_SEEDS}: only a large difference could have been shown."
        )
    return found


def _differences(
    runs: Mapping[str, Mapping[int, Mapping[str, float | None]]], base: str, keys: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """{method: {metric: difference from the base}}, of all others; p values of a metric are adjusted over the methods.

    What is detectable is so at Holm's first step, the strictest.
    """
    others = [name for name in runs if name != base]
    level = LEVEL / max(len(others), 1)
    found: dict[str, dict[str, Any]] = {name: {} for name in others}
    for key in keys:
        each = [paired_difference(runs[base], runs[name], metric=key, name=name, level=level) for name in others]
        for difference, adjusted in zip(each, holm([one.p for one in each]), strict=True):
            found[difference.name][key] = _difference_json(difference, adjusted)
    return found


def _difference_json(found: PairedDifference, adjusted: float | None) -> dict[str, Any]:
    shown = {key: getattr(found, key) for key in ("n", "mean", "sd", "low", "high", "p", "detectable")}
    # Holm's value is never below p, so that what it shows the interval shows too.
    reading = found.reading if adjusted is None or adjusted < LEVEL else "no difference shown"
    return {**shown, "p_holm": adjusted, "reading": reading}


def _scores(dataset: str, rows: Sequence[Mapping[str, Any]], keys: Sequence[str], notes: Sequence[str]) -> Table:
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
        caption=f"Leaderboard: {dataset}, test, mean ± sample standard deviation over seeds",
        notes=tuple(notes),
    )


def _compared(rows: Sequence[Mapping[str, Any]], name: str, base: str) -> Table:
    lines: list[Sequence[Cell]] = []
    for row in rows:
        if row["difference"][name] is None:
            continue
        mae = row["difference"][name]["MAE"]
        shown, interval = metric_cell("MAE", mae["mean"], signed=True), interval_cell("MAE", mae["low"], mae["high"])
        tested = number(mae["p"]), number(mae["p_holm"]), mae["reading"], metric_cell("MAE", mae["detectable"])
        lines.append((row["method"], mae["n"], shown, interval, *tested))
    return Table(
        columns=("method", "seeds", "MAE difference", "95 % interval", "p", "p Holm", "reading", "detectable"),
        rows=lines,
        caption=f"MAE on test: difference from {base}{'' if name == base else ', the best on valid'}, paired by seed",
        notes=(
            "t interval of the mean over seeds, on the same samples, not widened for the number of methods. "
            f"p Holm: adjusted for the {len(lines)} methods; the reading goes by it, at 5 %.",
            "detectable: a true difference of this size would be shown in four of five repetitions, at the strictest step of "
            "Holm, for this spread over seeds.",
        ),
    )


def _ranked(ranks: Ranks) -> Table:
    alike = (
        "It is unknown whether some belong together, as those of a video do. If they do, p and the critical difference are too "
        "small."
        if ranks.videos is None
        else "Samples of a video are alike, so p and the critical difference are too small."
    )
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
            f"The tests take samples as independent. {alike}",
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
            "experiment. On a GPU or TPU, the memory is known only of a method that needed more than those before it in that "
            "process. Programs that are kept from before are only read.",
        ),
    )
