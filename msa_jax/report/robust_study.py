"""What the variants of a study make of samples with missing steps: the curve of each, and how far it is from its baseline."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from msa_jax.data.schema import Dataset
from msa_jax.report import figures, panels
from msa_jax.report.comparability import Comparability, remarks
from msa_jax.report.differences import PairedDifference, paired_difference
from msa_jax.report.robustness import Robustness, robustness
from msa_jax.report.study import Outcome, Rendering, Study
from msa_jax.report.table import METRIC_LABELS, MISSING, Table, interval_cell, metric_cell, summary_cells

PROTOCOL, METRIC, DIGITS = "steps", "MAE", 3
PLAIN = "as it is"
SHOWN = (0.0, 0.3, 0.5, 0.7, 0.9, 1.0)  # rates of the table; JSON has all


def render(study: Study, dataset: Dataset, outcomes: Sequence[Outcome], against: Comparability) -> Rendering:
    """A row for each variant: scores at some rates, their mean over all rates below 1, and the difference of that mean from the
    variant that it names as its baseline, paired by seed."""
    possible = [outcome for outcome in outcomes if not outcome.reason]
    found = robustness([outcome.path for outcome in possible], protocol=PROTOCOL, data=dataset)
    shown = dict(zip((outcome.variant.name for outcome in possible), found.runs, strict=True))
    means = {name: _means(found, run) for name, run in shown.items()}
    differences = {
        outcome.variant.name: paired_difference(
            means[outcome.variant.baseline], means[outcome.variant.name], metric=METRIC, name=outcome.variant.name
        )
        for outcome in possible
        if outcome.variant.baseline in means
    }
    content = {
        "robustness": {**found.json(), "names": {run: name for name, run in shown.items()}},
        "differences": {name: asdict(difference) for name, difference in differences.items()},
    }
    table = _table(study, outcomes, found, shown, means, differences, against)
    drawn = {"figure.png": _figure(found, shown, outcomes)} if figures.available() else {}
    return Rendering(content=content, tables=(table,), figures=drawn)


def _figure(found: Robustness, shown: Mapping[str, str], outcomes: Sequence[Outcome]) -> Any:
    """A panel for each variant that is a baseline or has none, and in it those that are compared with it."""
    grid: dict[str, dict[str, Any]] = {}
    for outcome in outcomes:
        name, baseline = outcome.variant.name, outcome.variant.baseline
        if name in shown:
            panel = grid.setdefault(baseline or name, {})
            panel[_change(outcome) if baseline else PLAIN] = found.band(shown[name], METRIC)
    return panels.band_grid(
        found.rates,
        grid,
        xlabel="rate of missing steps",
        ylabel=f"{METRIC_LABELS[METRIC]} (lower is better)",
        title=f"{found.dataset}, {found.split}: {found.protocol.about}",
    )


def _change(outcome: Outcome) -> str:
    """What a variant changes of its baseline."""
    return ", ".join(f"{name} {value}" for name, value in outcome.variant.options.items()) or outcome.variant.name


def _means(found: Robustness, run: str) -> dict[int, dict[str, float | None]]:
    """{seed of training: the mean over the rates below 1 and the seeds of masks}."""
    area = found.areas(run, METRIC)["mean"]
    return {seed: {METRIC: float(each.mean())} for seed, each in zip(found.runs[run], area, strict=True)}


def _table(
    study: Study,
    outcomes: Sequence[Outcome],
    found: Robustness,
    shown: Mapping[str, str],
    means: Mapping[str, Mapping[int, Mapping[str, float | None]]],
    differences: Mapping[str, PairedDifference],
    against: Comparability,
) -> Table:
    places = [found.rates.index(rate) for rate in SHOWN]
    rows: list[list[Any]] = []
    for outcome in outcomes:
        name = outcome.variant.name
        if name not in shown:
            rows.append([name, *[MISSING] * (len(SHOWN) + 3)])
            continue
        curve = found.curve(shown[name], METRIC).mean(2)  # [seeds of training, rates]
        of_rates = [[{METRIC: float(score)} for score in curve[:, place]] for place in places]
        cells = [summary_cells(runs, {METRIC: DIGITS})[0] for runs in (*of_rates, [*means[name].values()])]
        rows.append([name, *cells, *_difference(differences.get(name))])
    return Table(
        columns=["variant", *(f"{rate:g}" for rate in SHOWN), "mean", "difference", "reading"],
        rows=rows,
        caption=f"{study.title}: {found.dataset}, {found.split}, {METRIC_LABELS[METRIC]} at rates of missing steps",
        notes=(
            f"{found.protocol.about}; mean ± sample standard deviation over seeds of training, each the mean over "
            f"{len(found.mask_seeds)} of masks; mean: over the rates 0 to 0.9.",
            "difference: of the mean from that of the variant named as baseline, paired by seed, with its 95 % interval.",
            *remarks(study, outcomes, against),
        ),
    )


def _difference(found: PairedDifference | None) -> list[str]:
    if found is None or found.mean is None:
        return [MISSING, MISSING]
    mean, interval = metric_cell(METRIC, found.mean, signed=True), interval_cell(METRIC, found.low, found.high)
    return [mean if interval is None else f"{mean} {interval}", found.reading]
