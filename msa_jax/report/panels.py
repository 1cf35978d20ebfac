"""Figures that set variants beside each other: curves, matrices, spreads. matplotlib is imported when one is drawn."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from msa_jax.report.figures import COLOURS, GREY, INK, plain, plain_bar

_ORDER = (COLOURS["text"], COLOURS["audio"], COLOURS["vision"], INK, GREY)  # of variants; then again from the first


def _colour(number: int) -> str:
    return _ORDER[number % len(_ORDER)]


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
        panel.plot(epochs, mean, color=colour, linewidth=1.5, label=name.replace("$", r"\$"))
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
        label = name.replace("$", r"\$")
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
