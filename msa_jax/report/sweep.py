"""A finished sweep as a table, and as a figure: a curve, a heat map, or parallel coordinates."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from msa_jax.metrics import HIGHER_IS_BETTER
from msa_jax.report import panels
from msa_jax.report.table import METRIC_LABELS, Table, axis, in_percent, metric_cell
from msa_jax.train.sweep import Sweep

SHOWN = 20  # points of a table


def table(sweep: Sweep) -> Table:
    """The best points first, with means and sample standard deviations over seeds of the metrics on valid."""
    names = list(sweep.ranking[0].point)
    keys = [sweep.rank_by, *(key for key in ("MAE", "Corr") if key != sweep.rank_by)]
    rows = []
    for place, one in enumerate(sweep.ranking[:SHOWN], start=1):
        cells = [metric_cell(key, one.mean.get(key), one.std.get(key)) for key in keys]
        rows.append((place, *(_shown(one.point[name]) for name in names), len(one.runs), *cells))
    notes = ["On valid, mean ± sample standard deviation over seeds; test took no part."]
    if len(sweep.ranking) > SHOWN:
        notes.append(f"The best {SHOWN} of {len(sweep.ranking)} points; ranking.json has all.")
    failed = [one for one in sweep.ranking if one.failed]
    if failed:
        seed, why = next(iter(failed[0].failed.items()))
        notes.append(f"{len(failed)} points failed and are last, the first of them with seed {seed}: {why}")
    pruned = sum(len(one.pruned) for one in sweep.ranking)
    if pruned:
        points = sum(bool(one.pruned) for one in sweep.ranking)
        notes.append(
            f"{pruned} runs were given up early, being worse than the median of the others; their {points} points are behind "
            "those that were trained to their ends."
        )
    if sweep.best is not None:
        notes.append(f"The best point as a preset: --preset {sweep.path / 'best.json'}")
    return Table(
        columns=("rank", *names, "runs", *(METRIC_LABELS[key] for key in keys)),
        rows=rows,
        caption=f"{sweep.method} on {sweep.dataset}, {len(sweep.ranking)} points by {METRIC_LABELS[sweep.rank_by]}",
        notes=notes,
    )


def figure(sweep: Sweep) -> Any:
    """How the ranking metric depends on what was varied; points that failed are left out.

    Returns:
      A matplotlib Figure, or None where no point ended well.
    """
    ended = [one for one in sweep.ranking if one.mean]
    if not ended:
        return None
    axes = {name: [one.point[name] for one in ended] for name in ended[0].point}
    axes = {name: values for name, values in axes.items() if len(set(map(_shown, values))) > 1} or axes
    label, factor = axis(sweep.rank_by)
    better = "higher" if HIGHER_IS_BETTER[sweep.rank_by] else "lower"
    return panels.sweep(
        {name: _scale(values) for name, values in axes.items()},
        factor * np.array([one.mean[sweep.rank_by] for one in ended]),
        label=f"{label} on valid ({better} is better)",
        digits=2 if in_percent(sweep.rank_by) else 3,
        low_is_good=not HIGHER_IS_BETTER[sweep.rank_by],
        title=f"{sweep.method} on {sweep.dataset}: {len(ended)} points",
    )


def _shown(value: Any) -> str:
    return (
        ",".join(map(str, value))
        if isinstance(value, tuple)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


def _scale(values: Sequence[Any]) -> tuple[np.ndarray, dict[float, str]]:
    """Where the values of an option lie on an axis, and what is written there; evenly where they are few or no numbers."""
    distinct = list(dict.fromkeys(values))
    number = all(isinstance(value, int | float) and not isinstance(value, bool) for value in distinct)
    if number:
        distinct.sort()
    if number and len(distinct) > 8:
        low, high = float(distinct[0]), float(distinct[-1])
        if low > 0 and high / low > 20:
            places = np.log(np.array(values, float) / low) / np.log(high / low)
            middle = float(np.sqrt(low * high))
        else:
            places, middle = (np.array(values, float) - low) / (high - low), (low + high) / 2
        return places, {0.0: f"{low:.3g}", 0.5: f"{middle:.3g}", 1.0: f"{high:.3g}"}
    step = 1 / max(len(distinct) - 1, 1)
    place = {value: number * step for number, value in enumerate(distinct)}
    return np.array([place[value] for value in values]), {at: _shown(value) for value, at in place.items()}
