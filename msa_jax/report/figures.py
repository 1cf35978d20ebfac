"""Figures of studies, drawn with matplotlib, which is needed for nothing else and imported when a figure is."""

import importlib.util
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from msa_jax.errors import InputError

DPI = 150
# Okabe and Ito's palette: distinct to colour-blind readers, and in grey by their order of lightness.
COLOURS = {"text": "#0072B2", "audio": "#D55E00", "vision": "#009E73"}
INK, GREY = "#222222", "#8a8a8a"
_STEPS = (6, 8, 10, 12, 15, 18, 20, 24, 30)  # label steps between the ends of a range: SIMS 10, MOSEI 18, MOSI 30


def check_matplotlib() -> None:
    """Raises InputError where matplotlib is not installed."""
    if importlib.util.find_spec("matplotlib") is None:
        raise InputError("a figure needs matplotlib: pip install 'msa-jax[plots]'")


def save(figure: Any, path: Path) -> None:
    """Writes a PNG, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    figure.savefig(temporary, format="png", dpi=DPI)
    os.replace(temporary, path)


def label_bins(label: np.ndarray, label_range: tuple[float, float]) -> np.ndarray:
    """Edges [K + 1] of bins centred on the steps that labels [N] are given in, so that no bin holds one step more.

    The coarsest grid on which four in five labels lie; 24 steps where there is none.
    """
    low, high = label_range
    steps = 24
    for candidate in _STEPS:
        place = (np.asarray(label, np.float64) - low) / (high - low) * candidate
        if np.mean(np.abs(place - np.round(place)) < 1e-3) >= 0.8:
            steps = candidate
            break
    width = (high - low) / steps
    return np.linspace(low - width / 2, high + width / 2, steps + 2)


def label_distributions(
    labels: Mapping[str, np.ndarray],
    m_label: np.ndarray,
    *,
    epochs: Sequence[int],
    label_range: tuple[float, float],
    title: str,
) -> Any:
    """Small multiples: how the u-labels lie after each of a few epochs, with the m-labels' outline in every panel.

    All panels have the same axes, so that epochs and modalities can be compared by eye.

    Args:
      labels: {"text": [E, N], ...}, row e - 1 after epoch e; one row of panels each.
      m_label: [N].
      epochs: 1-based; one column of panels each.
      label_range: ends of the horizontal axis; what lies beyond is drawn at the end.
      title: one line.

    Returns:
      A matplotlib Figure.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
    from matplotlib.ticker import MaxNLocator

    edges = label_bins(m_label, label_range)
    low, high = label_range
    share = lambda values: 100 * np.histogram(np.clip(values, low, high), edges)[0] / len(values)  # noqa: E731
    outline = share(m_label)
    width, height = 1.2 + 1.75 * len(epochs), 1.15 + 1.45 * len(labels)
    figure = Figure(figsize=(max(width, 4.6), height), layout="constrained")  # inches; the title needs 4.6
    panels = figure.subplots(len(labels), len(epochs), sharex=True, sharey=True, squeeze=False)
    for row, (modality, values) in zip(panels, labels.items(), strict=True):
        for panel, epoch in zip(row, epochs, strict=True):
            panel.stairs(share(values[epoch - 1]), edges, fill=True, color=COLOURS[modality], alpha=0.75, linewidth=0)
            panel.stairs(outline, edges, color=INK, linewidth=0.9)
            panel.set_xlim(edges[0], edges[-1])
            panel.yaxis.set_major_locator(MaxNLocator(4))
            panel.set_xticks([low, (low + high) / 2, high])
            panel.tick_params(labelsize=8, length=2.5, color=GREY, labelcolor=INK)
            for side in ("top", "right"):
                panel.spines[side].set_visible(False)
            for side in ("left", "bottom"):
                panel.spines[side].set_color(GREY)
        row[0].set_ylabel(f"{modality}\nrows [%]", fontsize=9, color=INK)
    for top, bottom, epoch in zip(panels[0], panels[-1], epochs, strict=True):
        top.set_title(f"epoch {epoch}", fontsize=9, color=INK)
        bottom.set_xlabel("label", fontsize=9, color=INK, labelpad=1)
    figure.suptitle(title, fontsize=10, color=INK, parse_math=False)
    handles = [
        *(Patch(color=COLOURS[modality], alpha=0.75, linewidth=0, label=f"u-label, {modality}") for modality in labels),
        Line2D([], [], color=INK, linewidth=0.9, label="m-label, the same in every panel"),
    ]
    columns = len(handles) if len(epochs) > 2 else 2  # side by side where there is room
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=8, frameon=False)
    return figure
