"""How far predictions spread within each coarse class of the label: drawn, and how many stay inside it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from msa_jax.data.schema import Dataset
from msa_jax.errors import InputError
from msa_jax.losses import Bins, coarse_bounds, coarse_class
from msa_jax.metrics import summarise
from msa_jax.report import panels
from msa_jax.report.comparability import Comparability, remarks
from msa_jax.report.experiment import predictions_path, read_predictions
from msa_jax.report.study import Outcome, Rendering, Study
from msa_jax.report.table import Table, summary_cells

SPLIT = "test"
CLASSES = ("negative", "neutral", "positive")
HEADS = ("prediction", "restricted")  # of a variant that has them
QUANTILES = {"p5": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95}
KEYS = {"median": 3, "middle_half": 3, "nine_tenths": 3, "inside": 1, "outside": 3}  # digits; a share in percent


def spread(prediction: np.ndarray, label: np.ndarray, bins: Bins) -> list[dict[str, float | None]]:
    """For each class of `bins`, how the predictions [N] of the rows lie whose label [N] belongs to it.

    Returns:
      rows: how many. p5, p25, median, p75, p95: quantiles. middle_half, nine_tenths: p75 - p25, p95 - p5. inside: the share
      that belongs to the class too. outside: how far beyond the nearer end of its bin, 0 inside, on average. All but rows
      are None for a class without rows.
    """
    true, predicted = (np.asarray(coarse_class(values, bins)) for values in (label, prediction))
    ends = np.array([bins.low, *bins.edges, bins.high], np.float32).astype(np.float64)  # as labels are compared
    found = []
    for number in range(bins.classes):
        values = np.asarray(prediction, np.float64)[true == number]
        if not len(values):
            empty = (*QUANTILES, "middle_half", "nine_tenths", "inside", "outside")
            found.append({"rows": 0, **dict.fromkeys(empty)})
            continue
        at = {name: float(np.quantile(values, share)) for name, share in QUANTILES.items()}
        beyond = np.abs(values - np.clip(values, ends[number], ends[number + 1]))
        found.append(
            {
                "rows": len(values),
                **at,
                "middle_half": at["p75"] - at["p25"],
                "nine_tenths": at["p95"] - at["p5"],
                "inside": float((predicted[true == number] == number).mean()),
                "outside": float(beyond.mean()),
            }
        )
    return found


def render(study: Study, dataset: Dataset, outcomes: Sequence[Outcome], against: Comparability) -> Rendering:
    """A row for each variant, its restricted scores where it has them, and class; all in one figure."""
    bins = coarse_bounds(len(CLASSES), dataset.card.label_range)
    content: dict[str, Any] = {"split": SPLIT, "edges": list(bins.edges), "variants": {}}
    for outcome in (outcome for outcome in outcomes if not outcome.reason):
        content["variants"] |= _variant(outcome, bins)
    means = {
        name: [summarise([run[number] for run in seeds.values()])[0] for number in range(bins.classes)]
        for name, seeds in content["variants"].items()
    }
    figure = panels.class_spread(
        means,
        classes=CLASSES,
        ends=(bins.low, *bins.edges, bins.high),
        title=f"{dataset.card.name}: predictions by the coarse class of the label, {SPLIT}",
    )
    caption = f"{study.title}: {dataset.card.name}, {SPLIT}"
    table = _table(content["variants"], bins, caption, remarks(study, outcomes, against))
    return Rendering(content=content, tables=(table,), figures={"figure.png": figure})


def _variant(outcome: Outcome, bins: Bins) -> dict[str, dict[str, list[dict[str, float | None]]]]:
    """{variant, or variant and head: {seed: a dict for each class}}"""
    _, label, heads = read_predictions(outcome.path, SPLIT)
    found = {}
    for head in HEADS:
        name = outcome.variant.name if head == HEADS[0] else f"{outcome.variant.name}, {head}"
        runs = {str(seed): heads[f"{seed}/{head}"] for seed in outcome.runs if f"{seed}/{head}" in heads}
        if head == HEADS[0] and len(runs) < len(outcome.runs):
            raise InputError(f"{predictions_path(outcome.path, SPLIT)}: lacks the predictions of some seeds")
        if runs:
            found[name] = {seed: spread(prediction, label, bins) for seed, prediction in runs.items()}
    return found


def _table(variants: Mapping[str, Mapping[str, Any]], bins: Bins, caption: str, notes: Sequence[str]) -> Table:
    rows = []
    for variant, seeds in variants.items():
        for number, name in enumerate(CLASSES):
            runs = [run[number] for run in seeds.values()]
            cells = summary_cells(runs, KEYS, percent=("inside",))
            rows.append((variant, name, runs[0]["rows"], len(runs), *cells))
    edges = ", ".join(f"{edge:g}" for edge in bins.edges)
    return Table(
        columns=(
            "variant",
            "class of the label",
            "rows",
            "runs",
            "median",
            "middle half",
            "nine tenths",
            "inside [%]",
            "outside by",
        ),
        rows=rows,
        caption=caption,
        notes=(
            f"Mean ± sample standard deviation over seeds. Classes part at {edges}. middle half, nine tenths: how wide they "
            "lie, p75 - p25 and p95 - p5. inside: predictions that belong to the class of their label. outside by: how far "
            "beyond the class, 0 inside, on average. restricted: clipped to the class that the classifier predicts.",
            *notes,
        ),
    )
