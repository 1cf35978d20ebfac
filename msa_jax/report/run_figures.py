"""Figures of one experiment's predictions: confusion, scatter, errors by length, generated labels. matplotlib draws them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from msa_jax import metrics
from msa_jax.report.figures import COLOURS, GREY, INK, label_bins, plain, plain_bar

CLASSES = 7  # of a label range that no corpus has
_MOST_VECTORS = 2000  # points that are drawn one by one; more of them become a picture
_GROUPS = 6  # of samples by their length


def binned(scores: np.ndarray, *, kind: str, label_range: tuple[float, float]) -> tuple[np.ndarray, list[str]]:
    """Classes [N] of scores [N] as the finest accuracy of these metrics has them, and the names of the classes.

    Args:
      kind: of the metrics.
      label_range: of the dataset.
    """
    if kind in ("mosi", "mosei"):
        return metrics.rounded_classes(scores, 3) + 3, [f"{number:+d}" if number else "0" for number in range(-3, 4)]
    if kind == "sims":
        cuts = (-0.7, -0.1, 0.1, 0.7)
        return metrics.binned_classes(scores, cuts), ["to -0.7", "to -0.1", "to 0.1", "to 0.7", "above"]
    names = [f"{level:.3g}" for level in np.linspace(*label_range, CLASSES)]
    return metrics.nearest_levels(scores, CLASSES, label_range), names


def confusion(runs: Sequence[np.ndarray], label: np.ndarray, *, kind: str, label_range: tuple[float, float]) -> Any:
    """Share of the samples of each class of the label [%] by the class of the score, all runs together.

    Args:
      runs: [[N], ...] scores. label: [N].
      kind, label_range: as of `binned`.

    Returns:
      A matplotlib Figure.
    """
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    true, names = binned(label, kind=kind, label_range=label_range)
    counts = np.zeros((len(names), len(names)))
    for scores in runs:
        np.add.at(counts, (true, binned(scores, kind=kind, label_range=label_range)[0]), 1)
    total = counts.sum(1, keepdims=True)
    share = 100 * counts / np.maximum(total, 1)
    figure = Figure(figsize=(5.4, 4.2), layout="constrained")  # inches
    panel = figure.subplots()
    colours = LinearSegmentedColormap.from_list("share", ["#f2f2f2", COLOURS["text"]])
    image = panel.imshow(share, cmap=colours, vmin=0, vmax=100)
    for (row, column), value in np.ndenumerate(share):
        if total[row, 0]:
            ink = "#fefefe" if value > 55 else "#1f1f1f"  # of the cell, not of the page
            panel.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=8, color=ink)
    samples = [f"{name}  (n={int(count) // max(len(runs), 1)})" for name, count in zip(names, total[:, 0], strict=True)]
    panel.set_xticks(range(len(names)), names)
    panel.set_yticks(range(len(names)), samples)
    panel.set_xlabel("class of the score", fontsize=9, color=INK)
    panel.set_ylabel("class of the label", fontsize=9, color=INK)
    plain(panel)
    bar = figure.colorbar(image, ax=panel, shrink=0.8)
    bar.set_label("samples of a row [%]; right ones on the diagonal", fontsize=8, color=INK)
    plain_bar(bar)
    return figure


def scatter(score: np.ndarray, label: np.ndarray, *, label_range: tuple[float, float]) -> Any:
    """Score [N] against label [N], with the line on which both are equal.

    Returns:
      A matplotlib Figure.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 4.4), layout="constrained")  # inches
    panel = figure.subplots()
    low, high = label_range
    panel.plot([low, high], [low, high], color=GREY, linewidth=0.9)
    size = max(5, min(18, 6000 / len(label)))
    many = len(label) > _MOST_VECTORS
    panel.scatter(label, score, s=size, color=COLOURS["text"], alpha=0.45, linewidths=0, rasterized=many)
    panel.set_xlabel(f"label (n={len(label)})", fontsize=9, color=INK)
    panel.set_ylabel("score, mean of the runs", fontsize=9, color=INK)
    plain(panel)
    return figure


def errors_by_length(error: np.ndarray, length: np.ndarray, *, unit: str) -> Any:
    """Absolute errors [N] of groups of about equally many samples by length [N]: median, middle half, and 5 to 95 %.

    Args:
      unit: of the length.

    Returns:
      A matplotlib Figure.
    """
    from matplotlib.figure import Figure

    edges = np.unique(np.quantile(length, np.linspace(0, 1, _GROUPS + 1)))
    group = np.clip(np.searchsorted(edges, length, side="right") - 1, 0, max(len(edges) - 2, 0))
    figure = Figure(figsize=(5.4, 3.4), layout="constrained")  # inches
    panel = figure.subplots()
    names = []
    for place, number in enumerate(np.unique(group)):
        own, lengths = np.abs(error[group == number]), length[group == number]
        low, first, median, third, high = np.quantile(own, (0.05, 0.25, 0.5, 0.75, 0.95))
        panel.plot([place, place], [low, high], color=COLOURS["text"], linewidth=1)
        panel.plot([place, place], [first, third], color=COLOURS["text"], linewidth=7, alpha=0.6, solid_capstyle="butt")
        panel.plot(place, median, "o", color=INK, markersize=4)
        ends = (
            f"{lengths.min():.0f}" if lengths.min() == lengths.max() else f"{lengths.min():.0f} to {lengths.max():.0f}"
        )
        names.append(f"{ends}\nn={len(own)}")
    panel.set_xticks(range(len(names)), names)
    panel.set_ylim(bottom=0)
    panel.set_xlabel(f"length [{unit}]", fontsize=9, color=INK)
    panel.set_ylabel("absolute error", fontsize=9, color=INK)
    plain(panel)
    return figure


def generated_labels(labels: Mapping[str, np.ndarray], m_label: np.ndarray, *, label_range: tuple[float, float]) -> Any:
    """A panel for each modality: how the generated labels of the training samples lie, with the outline of the m-labels.

    Args:
      labels: {modality: [N]}, one at least. m_label: [N].
      label_range: ends of the horizontal axis; what lies beyond is drawn at the end.

    Returns:
      A matplotlib Figure.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    edges = label_bins(m_label, label_range)
    share = lambda values: 100 * np.histogram(np.clip(values, *label_range), edges)[0] / len(values)  # noqa: E731
    figure = Figure(figsize=(max(1.0 + 2.5 * len(labels), 4.6), 2.8), layout="constrained")  # inches
    panels = figure.subplots(1, len(labels), sharey=True, squeeze=False)[0]
    for panel, (modality, values) in zip(panels, labels.items(), strict=True):
        colour = COLOURS.get(modality, GREY)
        panel.stairs(share(values), edges, fill=True, color=colour, alpha=0.75, linewidth=0)
        panel.stairs(share(m_label), edges, color=INK, linewidth=0.9)
        panel.set_title(modality, fontsize=9, color=INK, parse_math=False)
        panel.set_xlabel("label", fontsize=9, color=INK, labelpad=1)
        plain(panel)
    panels[0].set_ylabel(f"training samples [%], n={len(m_label)}", fontsize=9, color=INK)
    handles = [Line2D([], [], color=INK, linewidth=0.9, label="human multimodal label")]
    figure.legend(handles=handles, loc="outside lower center", fontsize=8, frameon=False)
    return figure
