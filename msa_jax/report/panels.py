"""Figures that set variants beside each other: curves, matrices, spreads. matplotlib is imported when one is drawn."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from msa_jax.report.figures import COLOURS, GREY, INK, in_legend, label_lowest, plain, plain_bar

_ORDER = (COLOURS["text"], COLOURS["audio"], COLOURS["vision"], INK, GREY)  # of variants; then again with another line
_LINES = ("-", "--", ":", "-.")


def _colour(number: int) -> str:
    return _ORDER[number % len(_ORDER)]


def _line(number: int) -> str:
    return _LINES[number // len(_ORDER) % len(_LINES)]


def _mean_sd(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[P, S] -> mean and sample standard deviation [P] over S; 0 for one value."""
    return values.mean(1), values.std(1, ddof=1) if values.shape[1] > 1 else np.zeros(len(values))


def valid_curves(variants: Mapping[str, Sequence[np.ndarray]], *, title: str, ylabel: str) -> Any:
    """Runs over epochs in one panel: each thin, their mean bold as far as all of a variant went, a circle at its lowest.

    Args:
      variants: {variant: [[E], ...]}, a curve for each run, from epoch 1.
      title, ylabel: one line.

    Returns:
      A matplotlib Figure.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(6.0, 3.8), layout="constrained")  # inches
    panel = figure.subplots()
    for number, (name, runs) in enumerate(variants.items()):
        colour = _colour(number)
        if len(runs) > 1:
            for run in runs:
                panel.plot(np.arange(1, len(run) + 1), run, color=colour, alpha=0.3, linewidth=0.7)
        common = min(map(len, runs))
        mean = np.mean([run[:common] for run in runs], axis=0)
        epochs = np.arange(1, common + 1)
        panel.plot(epochs, mean, color=colour, linestyle=_line(number), linewidth=1.5, label=in_legend(name))
        lowest = int(np.argmin(mean))
        circle = {"marker": "o", "markersize": 7, "markerfacecolor": "none", "linestyle": "none"}
        panel.plot(epochs[lowest], mean[lowest], color=colour, **circle)
    panel.set_xlabel("epoch of the last stage", fontsize=9, color=INK)
    panel.set_ylabel(ylabel, fontsize=9, color=INK)
    panel.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    plain(panel)
    figure.suptitle(title, fontsize=10, color=INK, parse_math=False)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return figure


def bands(places: Sequence[Any], variants: Mapping[str, np.ndarray], *, xlabel: str, ylabel: str, title: str) -> Any:
    """Means over seeds as curves, with bands of one sample standard deviation; side by side as points if places are names.

    Args:
      places: [P], numbers or names.
      variants: {variant: [P, S]}, S values at each place.
      xlabel, ylabel, title: one line.

    Returns:
      A matplotlib Figure.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, 3.8), layout="constrained")  # inches
    panel = figure.subplots()
    named = any(isinstance(place, str) for place in places)
    for number, (name, values) in enumerate(variants.items()):
        colour, label = _colour(number), in_legend(name)
        mean, sd = _mean_sd(values)
        if named:
            at = np.arange(len(mean)) + (number - (len(variants) - 1) / 2) * 0.6 / len(variants)
            panel.errorbar(at, mean, sd, color=colour, fmt="o", markersize=4, elinewidth=1.2, label=label)
            continue
        order = np.argsort(np.asarray(places, float))
        at = np.asarray(places, float)[order]
        look = {"color": colour, "linestyle": _line(number), "linewidth": 1.5, "marker": "o", "markersize": 3}
        panel.plot(at, mean[order], label=label, **look)
        panel.fill_between(at, (mean - sd)[order], (mean + sd)[order], color=colour, alpha=0.2, linewidth=0)
    if named:
        panel.set_xticks(range(len(places)), places)
    panel.set_xlabel(xlabel, fontsize=9, color=INK, parse_math=False)
    panel.set_ylabel(ylabel, fontsize=9, color=INK, parse_math=False)
    plain(panel)
    figure.suptitle(title, fontsize=10, color=INK, parse_math=False)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return figure


def band_grid(
    places: Sequence[float], panels: Mapping[str, Mapping[str, np.ndarray]], *, xlabel: str, ylabel: str, title: str
) -> Any:
    """Small multiples of `bands` with the same axes, so that panels can be compared by eye.

    Args:
      places: [P], in order.
      panels: {panel: {variant: [P, S]}}, S values at each place; variants of one name have one colour.
      xlabel, ylabel, title: one line.

    Returns:
      A matplotlib Figure.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    columns = min(len(panels), 4)
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(max(1.0 + 1.8 * columns, 5.4), 1.2 + 1.5 * rows), layout="constrained")  # inches
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    names = list(dict.fromkeys(name for variants in panels.values() for name in variants))
    for panel, (heading, variants) in zip(grid.flat, panels.items(), strict=False):
        for name, values in variants.items():
            number = names.index(name)
            mean, sd = _mean_sd(values)
            panel.plot(places, mean, color=_colour(number), linestyle=_line(number), linewidth=1.3)
            panel.fill_between(places, mean - sd, mean + sd, color=_colour(number), alpha=0.2, linewidth=0)
        panel.set_title(heading, fontsize=9, color=INK, parse_math=False)
        plain(panel)
    label_lowest(grid, len(panels), xlabel)
    figure.supylabel(ylabel, fontsize=9, color=INK, parse_math=False)
    figure.suptitle(title, fontsize=10, color=INK, parse_math=False)
    handles = [
        Line2D([], [], color=_colour(number), linestyle=_line(number), linewidth=1.3, label=in_legend(name))
        for number, name in enumerate(names)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return figure


def matrices(variants: Mapping[str, np.ndarray], *, names: Sequence[str], title: str) -> Any:
    """Matrices of cosines side by side, in one scale from -1 to 1, each cell with its number.

    Args:
      variants: {variant: [P, P]}.
      names: [P], of rows and columns.
      title: one line.

    Returns:
      A matplotlib Figure.
    """
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    colours = LinearSegmentedColormap.from_list("cosine", [COLOURS["text"], "#ffffff", COLOURS["audio"]])
    figure = Figure(figsize=(max(1.0 + 3.1 * len(variants), 5.4), 3.7), layout="constrained")  # the title needs 5.4
    grid = figure.subplots(1, len(variants), squeeze=False)[0]
    image = None
    for panel, (name, matrix) in zip(grid, variants.items(), strict=True):
        image = panel.imshow(matrix, cmap=colours, vmin=-1, vmax=1)
        for (row, column), cosine in np.ndenumerate(matrix):
            panel.text(column, row, f"{cosine:.2f}", ha="center", va="center", fontsize=7, color=INK)
        panel.set_xticks(range(len(names)), names, parse_math=False)
        panel.set_yticks(range(len(names)), names, parse_math=False)
        panel.tick_params(labelsize=8, length=0, labelcolor=INK)
        panel.set_title(name, fontsize=9, color=INK, parse_math=False)
        for side in panel.spines.values():
            side.set_visible(False)
    bar = figure.colorbar(image, ax=list(grid), shrink=0.8)
    plain_bar(bar)
    figure.suptitle(title, fontsize=10, color=INK, parse_math=False)
    return figure


def class_spread(
    variants: Mapping[str, Sequence[Mapping[str, float | None]]],
    *,
    classes: Sequence[str],
    ends: Sequence[float],
    title: str,
) -> Any:
    """For each class its bin as a band, and in it for each variant: a thin bar from p5 to p95, a thick one from p25 to p75,
    and a dot at the median. A class without rows has its band alone.

    Args:
      variants: {variant: [{"p5", "p25", "median", "p75", "p95"}, ...]}, a dict for each class.
      classes: [C] names. ends: [C + 1], of their bins, ascending.
      title: one line.

    Returns:
      A matplotlib Figure.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    figure = Figure(figsize=(6.0, 4.0), layout="constrained")  # inches
    panel = figure.subplots()
    for number, (low, high) in enumerate(itertools.pairwise(ends)):
        panel.add_patch(Rectangle((number - 0.45, low), 0.9, high - low, color=GREY, alpha=0.25, linewidth=0))
    step = 0.8 / len(variants)
    for number, (name, found) in enumerate(variants.items()):
        label = in_legend(name)
        for place, at in enumerate(found):
            if at["median"] is None:
                continue
            x, colour = place - 0.4 + (number + 0.5) * step, _colour(number)
            panel.plot([x, x], [at["p5"], at["p95"]], color=colour, linewidth=1.2)
            panel.plot([x, x], [at["p25"], at["p75"]], color=colour, linewidth=5, solid_capstyle="butt", label=label)
            panel.plot(x, at["median"], color=colour, marker="o", markersize=4, markerfacecolor="white")
            label = None  # one entry in the legend
    panel.set_xlim(-0.6, len(classes) - 0.4)
    panel.set_xticks(range(len(classes)), classes)
    panel.set_xlabel("coarse class of the label, its range as a band", fontsize=9, color=INK)
    panel.set_ylabel("prediction", fontsize=9, color=INK)
    panel.autoscale(axis="y")
    panel.margins(y=0.05)
    plain(panel)
    figure.suptitle(title, fontsize=10, color=INK, parse_math=False)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return figure


def sweep(
    axes: Mapping[str, tuple[np.ndarray, Mapping[float, str]]],
    values: np.ndarray,
    *,
    label: str,
    digits: int,
    low_is_good: bool,
    title: str,
) -> Any:
    """What was varied against what came out: points for one option, a heat map for a grid of two, else parallel coordinates.

    Args:
      axes: {option: (places [P] in [0, 1], {place: what is written there})}.
      values: [P], the best first.
      label: of the values. digits: behind their point, where they are written. low_is_good: whether low ones are the better.
      title: one line.

    Returns:
      A matplotlib Figure.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize
    from matplotlib.figure import Figure

    ends = [COLOURS["audio"], "#e6e6e6"] if low_is_good else ["#e6e6e6", COLOURS["audio"]]
    colours = LinearSegmentedColormap.from_list("value", ends)
    low, high = float(values.min()), float(values.max())
    scale = ScalarMappable(Normalize(low, high if high > low else low + 1e-9), colours)
    names = list(axes)
    grid = len(names) == 2 and len(values) == len(set(zip(axes[names[0]][0], axes[names[1]][0], strict=True)))
    grid = grid and len(values) == len(axes[names[0]][1]) * len(axes[names[1]][1])
    figure = Figure(figsize=(max(5.4, 2.0 + 1.3 * len(names)), 3.8), layout="constrained")
    panel = figure.subplots()
    if len(names) == 1:
        places, ticks = axes[names[0]]
        panel.plot(places, values, "o", color=COLOURS["text"], markersize=5, markeredgewidth=0)
        panel.set_xticks(list(ticks), list(ticks.values()), parse_math=False)
        panel.set_xlabel(names[0], fontsize=9, color=INK, parse_math=False)
        panel.set_ylabel(label, fontsize=9, color=INK)
        plain(panel)
    elif grid:
        (rows, row_ticks), (columns, column_ticks) = axes[names[0]], axes[names[1]]
        order = [sorted(ticks) for ticks in (row_ticks, column_ticks)]
        cells = np.full((len(row_ticks), len(column_ticks)), np.nan)
        for row, column, value in zip(rows, columns, values, strict=True):
            at = order[0].index(row), order[1].index(column)
            cells[at] = value
            panel.text(at[1], at[0], f"{value:.{digits}f}", ha="center", va="center", fontsize=8, color=INK)
        panel.imshow(cells, cmap=colours, norm=scale.norm, aspect="auto")
        panel.set_yticks(range(len(order[0])), [row_ticks[place] for place in order[0]], parse_math=False)
        panel.set_xticks(range(len(order[1])), [column_ticks[place] for place in order[1]], parse_math=False)
        panel.set_ylabel(names[0], fontsize=9, color=INK, parse_math=False)
        panel.set_xlabel(names[1], fontsize=9, color=INK, parse_math=False)
        panel.tick_params(labelsize=8, length=0, labelcolor=INK)
        for side in panel.spines.values():
            side.set_visible(False)
    else:
        _parallel(panel, axes, values, scale, label, digits)
    if grid:
        bar = figure.colorbar(scale, ax=panel, shrink=0.8)
        bar.set_label(label, fontsize=9, color=INK)
        plain_bar(bar)
    figure.suptitle(title, fontsize=10, color=INK, parse_math=False)
    return figure


def _parallel(
    panel: Any,
    axes: Mapping[str, tuple[np.ndarray, Mapping[float, str]]],
    values: np.ndarray,
    scale: Any,
    label: str,
    digits: int,
) -> None:
    """A line for each point from option to option and to its value, the best ones drawn last."""
    low, high = scale.get_clim()
    # Lines through the same places are moved apart, always in the same way; where a value lies is exact.
    apart = np.random.default_rng(0).uniform(-0.06, 0.06, (len(values), len(axes)))
    lines = np.stack([places for places, _ in axes.values()], 1) + apart
    lines = np.column_stack([lines, (values - low) / (high - low)])
    for number in range(len(values))[::-1]:
        first = number == 0
        style = (
            {"color": INK, "linewidth": 1.8} if first else {"color": scale.to_rgba(values[number]), "linewidth": 0.8}
        )
        panel.plot(lines[number], **style)
    ends = {place: f"{low + place * (high - low):.{digits}f}" for place in (0.0, 0.5, 1.0)}
    for at, ticks in enumerate([*(ticks for _, ticks in axes.values()), ends]):
        panel.axvline(at, color=GREY, linewidth=0.8)
        for place, text in ticks.items():
            box = {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1}
            panel.text(at + 0.04, place, text, fontsize=7, color=INK, va="center", parse_math=False, bbox=box)
    panel.set_xticks(range(len(axes) + 1), [*axes, label], rotation=20, ha="right", parse_math=False)
    panel.set_yticks([])
    panel.set_xlim(-0.2, len(axes) + 0.5)
    panel.tick_params(labelsize=8, length=0, labelcolor=INK)
    for side in panel.spines.values():
        side.set_visible(False)
