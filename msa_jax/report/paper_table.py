"""A paper's table: every variant as it came out here, with the numbers that the paper prints below it."""

from collections.abc import Mapping, Sequence
from typing import Any

from msa_jax.data.schema import Dataset
from msa_jax.metrics import METRIC_KEYS, summarise
from msa_jax.report.comparability import Comparability, remarks
from msa_jax.report.differences import NOT_WIDENED, PairedDifference, paired_difference
from msa_jax.report.paper_rows import ORIGINS, decimals, paper_cell, source_cell
from msa_jax.report.study import Outcome, Rendering, Study
from msa_jax.report.table import METRIC_LABELS, UNITS, Table, interval_cell, metric_cell, number


def render(study: Study, dataset: Dataset, outcomes: Sequence[Outcome], against: Comparability) -> Rendering:
    """Mean ± sd over seeds on test, the paper's numbers, and differences from each one's baseline, paired by seed."""
    here = METRIC_KEYS[dataset.card.metrics]
    means = {outcome.variant.name: summarise(list(outcome.runs.values())) for outcome in outcomes if not outcome.reason}
    baselines = _baselines(outcomes)
    differences = _differences(outcomes, baselines)
    rows = [
        {
            "variant": outcome.variant.name,
            "runs": [
                {"seed": seed, "best_epoch": outcome.epochs[seed], "test": run} for seed, run in outcome.runs.items()
            ],
            "mean": means.get(outcome.variant.name, (None, None))[0],
            "std": means.get(outcome.variant.name, (None, None))[1],
            "paper": outcome.variant.paper,
            "origin": outcome.variant.origin,
            "difference_from": baselines.get(outcome.variant.name),
            "difference": {d.metric: _difference_json(d) for d in differences.get(outcome.variant.name, ())} or None,
        }
        for outcome in outcomes
    ]
    content = {
        "metrics": [key for key in study.metrics if key in here],
        "rows": rows,
        "context": [{"name": row.name, "paper": row.paper, "origin": row.origin} for row in study.context],
        "difference_from": next(iter(means), None),
    }
    compared = [
        _compared(base, outcomes, baselines, differences, against) for base in dict.fromkeys(baselines.values())
    ]
    tables = [_means(study, dataset, outcomes, means, against), *compared]
    return Rendering(content=content, tables=tuple(table for table in tables if table.rows))


def _means(
    study: Study, dataset: Dataset, outcomes: Sequence[Outcome], means: Mapping[str, Any], against: Comparability
) -> Table:
    here, paper = METRIC_KEYS[dataset.card.metrics], against.reference
    printed = [numbers for row in (*(o.variant for o in outcomes), *study.context) for numbers in _of(row, paper)]
    columns = [key for key in study.metrics if key in here or any(key in numbers for numbers in printed)]

    def paper_rows(row: Any) -> list[tuple]:
        return [
            (
                row.name,
                source_cell(paper, row.origin.get(paper)),
                None,
                *(paper_cell(key, numbers.get(key)) for key in columns),
            )
            for numbers in _of(row, paper)
        ]

    rows = []
    for outcome in outcomes:
        name = outcome.variant.name
        if outcome.reason:
            cells = (None, *(None for _ in columns))
        else:
            mean, std = means[name]
            cells = (len(outcome.runs), *(metric_cell(key, mean.get(key), std.get(key)) for key in columns))
        rows += [
            (name, dataset.card.name if not outcome.reason else "not possible", *cells),
            *paper_rows(outcome.variant),
        ]
    rows += [row for context in study.context for row in paper_rows(context)]
    return Table(
        columns=("variant", "source", "runs", *(METRIC_LABELS[key] for key in columns)),
        rows=rows,
        caption=f"{study.title}: {dataset.card.name}, test, mean ± sample standard deviation over seeds",
        notes=(
            UNITS,
            *_origins(study, paper),
            *remarks(study, outcomes, against),
        ),
    )


def _origins(study: Study, paper: str | None) -> list[str]:
    """What the words in brackets mean, of those that the table has."""
    rows = [row for row in (*study.variants, *study.context) if _of(row, paper)]
    used = [word for word in ORIGINS if any(word in row.origin.get(paper, "") for row in rows)]
    return (
        [f"In brackets, of the paper's numbers: {'; '.join(f'{word}: {ORIGINS[word]}' for word in used)}."]
        if used
        else []
    )


def _of(row: Any, dataset: str | None) -> list[Mapping[str, float]]:
    """The paper's numbers of a variant or context row for one dataset, as a list of one or none."""
    return [row.paper[dataset]] if row.paper.get(dataset) else []


def _baselines(outcomes: Sequence[Outcome]) -> dict[str, str]:
    """{variant: the one it is compared with}, of those that are possible; by default the first that is."""
    possible = [outcome.variant for outcome in outcomes if not outcome.reason]
    first, names = next((variant.name for variant in possible), None), [variant.name for variant in possible]
    chosen = {variant.name: first if variant.baseline is None else variant.baseline for variant in possible}
    return {name: base for name, base in chosen.items() if base in names and base != name}


def _differences(outcomes: Sequence[Outcome], baselines: Mapping[str, str]) -> dict[str, list[PairedDifference]]:
    """{variant: one for each metric}, against its baseline."""
    runs = {outcome.variant.name: outcome.runs for outcome in outcomes}
    return {
        name: [
            paired_difference(runs[base], runs[name], metric=key, name=name) for key in next(iter(runs[name].values()))
        ]
        for name, base in baselines.items()
    }


def _difference_json(found: PairedDifference) -> dict[str, Any]:
    return {key: getattr(found, key) for key in ("n", "mean", "sd", "low", "high", "reading")}


def _compared(
    base: str,
    outcomes: Sequence[Outcome],
    baselines: Mapping[str, str],
    differences: Mapping[str, Sequence[PairedDifference]],
    against: Comparability,
) -> Table:
    """MAE against that of `base`, and the same difference in the paper, where it prints both."""
    variants = {outcome.variant.name: outcome.variant for outcome in outcomes}

    def paper_mae(name: str) -> float | None:
        return next((numbers.get("MAE") for numbers in _of(variants[name], against.reference)), None)

    rows = []
    for name, found in differences.items():
        if baselines[name] != base:
            continue
        mae = next(difference for difference in found if difference.metric == "MAE")
        theirs = (paper_mae(name), paper_mae(base))
        digits = max((3, *(decimals(paper_cell("MAE", one)) for one in theirs)))
        paper = None if None in theirs else number(theirs[0] - theirs[1], digits, signed=True)
        interval = interval_cell("MAE", mae.low, mae.high)
        rows.append((name, mae.n, metric_cell("MAE", mae.mean, mae.sd, signed=True), interval, mae.reading, paper))
    columns = ("variant", "seeds", "MAE difference ± sd", "95 % interval", "reading", f"paper, {against.reference}")
    shown = len(columns) if any(row[-1] for row in rows) else len(columns) - 1
    return Table(
        columns=columns[:shown],
        rows=[row[:shown] for row in rows],
        caption=f"MAE on test: difference from {base}, paired by seed",
        notes=(NOT_WIDENED,),
    )
