"""Figures of studies, drawn with matplotlib, which is needed for nothing else and imported when a figure is."""

import functools
import importlib.util
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from msa_jax.errors import InputError, install
from msa_jax.losses import neutral_point
from msa_jax.train.atomic import write_bytes

DPI = 150
FORMS = ("png", "svg", "pdf")
# Okabe and Ito's palette: distinct to colour-blind readers, and in grey by their order of lightness.
COLOURS = {"text": "#0072B2", "audio": "#D55E00", "vision": "#009E73"}
INK, GREY = "#222222", "#8a8a8a"
_STEPS = (6, 8, 10, 12, 15, 18, 20, 24, 30)  # label steps between the ends of a range: SIMS 10, MOSEI 18, MOSI 30


def available() -> bool:
    """Whether figures can be drawn."""
    return importlib.util.find_spec("matplotlib") is not None


def check_matplotlib() -> None:
    """Raises InputError where matplotlib is not installed."""
    if not available():
        raise InputError(f"a figure needs matplotlib: {install('plots')}")


def save(figure: Any, path: Path) -> None:
    """Writes a figure as its suffix says, whole or not at all. InputError where it cannot be, or is of another suffix."""
    form = path.suffix.lower().removeprefix(".")
    if form not in FORMS:
        raise InputError(f"{path}: expected a file name that ends with {', '.join(f'.{one}' for one in FORMS)}")
    write_bytes(path, drawn(figure, form))


def save_all(figure: Any, path: Path) -> list[Path]:
    """Writes a figure beside `path` in every form: a PNG to look at, and an SVG and a PDF for a paper. Returns the files."""
    files = [path.with_suffix(f".{form}") for form in FORMS]
    for file in files:
        save(figure, file)
    return files


def drawn(figure: Any, form: str, **options: Any) -> bytes:
    """A figure as a PNG, an SVG or a PDF, the same bytes for the same figure. options: of matplotlib's `savefig`."""
    import matplotlib

    dated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(form)
    file = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "msa_jax"}):
        figure.savefig(file, format=form, dpi=DPI, metadata=dated, **options)
    return file.getvalue()


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
            plain(panel)
        row[0].set_ylabel(f"{modality}\nsamples [%]", fontsize=9, color=INK)
    for top, bottom, epoch in zip(panels[0], panels[-1], epochs, strict=True):
        top.set_title(f"epoch {epoch}", fontsize=9, color=INK)
        bottom.set_xlabel("label", fontsize=9, color=INK, labelpad=1)
    figure.suptitle(title, fontsize=10, color=INK, parse_math=False)
    handles = [
        *(Patch(color=COLOURS[modality], alpha=0.75, linewidth=0, label=f"u-label, {modality}") for modality in labels),
        Line2D([], [], color=INK, linewidth=0.9, label=f"m-label, the same in every panel (n = {len(m_label)})"),
    ]
    columns = len(handles) if len(epochs) > 2 else 2  # side by side where there is room
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=8, frameon=False)
    return figure


@dataclass(frozen=True, kw_only=True, eq=False)
class Curves:
    """One run of `loss_curves`. step: [K], ascending. values: {curve: [K]}. best: step where its best epoch ends."""

    step: np.ndarray
    values: Mapping[str, np.ndarray]
    best: int | None = None


def label_lowest(panels: np.ndarray, count: int, xlabel: str) -> None:
    """Names the axis below the lowest panel of each column, where the first `count` panels of [rows, columns] are drawn."""
    columns = panels.shape[1]
    for panel in panels.flat[count:]:
        panel.set_axis_off()
    for column in range(columns):
        lowest = panels[(count - 1 - column) // columns, column]
        lowest.set_xlabel(xlabel, fontsize=9, color=INK, labelpad=1, parse_math=False)
        lowest.tick_params(labelbottom=True)


def loss_curves(runs: Sequence[Curves], *, title: str, xlabel: str = "step") -> Any:
    """A panel for each curve, each with its own scale: every run thin, their mean bold as far as all of them went.

    Args:
      runs: of the same curves, at least one.
      title, xlabel: one line.

    Returns:
      A matplotlib Figure.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    names = list(runs[0].values)
    columns = min(len(names), 4)
    rows = -(-len(names) // columns)
    size = max(0.4 + 2.5 * columns, 5.4), 1.0 + 1.8 * rows  # inches; title and legend need 5.4
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, squeeze=False)
    common = functools.reduce(np.intersect1d, [run.step for run in runs])
    for panel, name in zip(panels.flat, names, strict=False):
        for run in runs:
            if run.best is not None:
                panel.axvline(run.best, color=GREY, linewidth=0.8, linestyle=":")
            if len(runs) > 1:
                panel.plot(run.step, run.values[name], color=COLOURS["text"], alpha=0.35, linewidth=0.7)
        mean = np.mean([run.values[name][np.isin(run.step, common)] for run in runs], axis=0)
        alone = "o" if len(common) == 1 else None  # a line of one point is not seen
        panel.plot(common, mean, color=INK, linewidth=1.3, marker=alone, markersize=3)
        panel.set_title(name, fontsize=9, color=INK, parse_math=False)
        panel.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        plain(panel)
    label_lowest(panels, len(names), xlabel)
    figure.suptitle(title, fontsize=10, color=INK, parse_math=False)
    several = (
        [Line2D([], [], color=COLOURS["text"], alpha=0.35, linewidth=0.9, label="a seed")] if len(runs) > 1 else []
    )
    handles = [
        *several,
        Line2D([], [], color=INK, linewidth=1.3, label=f"mean of {len(runs)} seeds" if several else "1 seed"),
    ]
    if any(run.best is not None for run in runs):
        best = "best epoch of a seed" if xlabel == "epoch" else "end of a best epoch"
        handles.append(Line2D([], [], color=GREY, linewidth=0.8, linestyle=":", label=best))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8, frameon=False)
    return figure


def embeddings(
    panels: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]], *, label_range: tuple[float, float], title: str
) -> Any:
    """Points in two dimensions, coloured by their label: a row of panels for each variant, a column for each split.

    The axes of an embedding have no meaning, so none are drawn.

    Args:
      panels: {variant: {split: (points [N, 2], labels [N])}}.
      label_range: ends of the colours.
      title: one line.

    Returns:
      A matplotlib Figure.
    """
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    low, high = label_range
    neutral = neutral_point(low, high)
    # Grey at the neutral point and not white: neutral samples must be seen.
    stops = ((0.0, COLOURS["text"]), ((neutral - low) / (high - low), "#b4b4b4"), (1.0, COLOURS["audio"]))
    colours = LinearSegmentedColormap.from_list("label", stops)
    splits = list(next(iter(panels.values())))
    figure = Figure(figsize=(1.3 + 2.8 * len(splits), 0.6 + 2.6 * len(panels)), layout="constrained")
    grid = figure.subplots(len(panels), len(splits), squeeze=False)
    points = None
    for row, (variant, found) in zip(grid, panels.items(), strict=True):
        for panel, (split, (place, label)) in zip(row, found.items(), strict=True):
            # Neutral ones last, on top: they are the hard ones.
            order = np.argsort(np.abs(label - neutral), kind="stable")[::-1]
            points = panel.scatter(
                place[order, 0],
                place[order, 1],
                c=label[order],
                cmap=colours,
                vmin=low,
                vmax=high,
                s=max(4, min(24, 6000 / len(label))),
                linewidths=0,
                alpha=0.85,
            )
            panel.set_title(f"{split}, n = {len(label)}", fontsize=8, color=INK)
            panel.set_xticks([])
            panel.set_yticks([])
            for side in panel.spines.values():
                side.set_color(GREY)
        row[0].set_ylabel(variant, fontsize=9, color=INK, parse_math=False)
    bar = figure.colorbar(points, ax=grid.ravel().tolist(), shrink=0.8)
    bar.set_label("label", fontsize=9, color=INK)
    plain_bar(bar)
    figure.suptitle(title, fontsize=10, color=INK, parse_math=False, wrap=True)
    return figure


def in_legend(name: str) -> str:
    """A name as a legend shows it: "$" begins no formula, and a "_" at the beginning does not hide the entry."""
    return ("\u200b" if name.startswith("_") else "") + name.replace("$", r"\$")  # a space of no width


def plain(panel: Any) -> None:
    """Axes on two sides, in grey."""
    panel.tick_params(labelsize=8, length=2.5, color=GREY, labelcolor=INK)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        panel.spines[side].set_color(GREY)


def plain_bar(bar: Any) -> None:
    """A colour bar without a frame, in grey."""
    bar.ax.tick_params(labelsize=8, color=GREY, labelcolor=INK)
    bar.outline.set_visible(False)
