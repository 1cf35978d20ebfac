"""The figure of a leaderboard: a forest plot of differences, and below it a critical-difference diagram."""

import math
from collections.abc import Mapping
from typing import Any

from msa_jax.report.figures import COLOURS, GREY, INK, plain
from msa_jax.report.ranks import Ranks

_COLOUR = {"better": COLOURS["text"], "worse": COLOURS["audio"]}


def draw(
    differences: Mapping[str, Mapping[str, Mapping[str, Any] | None]],
    *,
    names: Mapping[str, str],
    ranks: Ranks | None,
    title: str,
) -> Any:
    """A panel of intervals for each base, methods from top to bottom, and the ranks.

    Args:
      differences: {base: {method: {"mean", "low", "high", "reading"}}}; None for the base itself.
      names: {base: the method that it is}.
      ranks: of the same methods; None draws none.
      title: one line.

    Returns:
      A matplotlib Figure.
    """
    from matplotlib.figure import Figure

    methods = list(next(iter(differences.values())))
    forest, diagram = 1.0 + 0.24 * len(methods), 0.0 if ranks is None else 1.0 + 0.2 * ((len(methods) + 1) // 2)
    figure = Figure(figsize=(7.6, forest + diagram + 0.4), layout="constrained")  # inches
    top, *below = figure.subfigures(1 + (ranks is not None), 1, height_ratios=[forest, diagram][: 1 + (ranks is not None)],
                                    squeeze=False)[:, 0]  # fmt: skip
    panels = top.subplots(1, len(differences), sharey=True, squeeze=False)[0]
    for panel, (base, found) in zip(panels, differences.items(), strict=True):
        _forest(panel, found, base=names[base], best=base == "best")
    panels[0].set_yticks(range(len(methods)), methods, fontsize=8)
    panels[0].set_ylim(len(methods) - 0.5, -0.5)
    figure.suptitle(title, fontsize=10, color=INK, parse_math=False)
    if ranks is not None:
        _ranks(below[0].subplots(), ranks)
    return figure


def _forest(panel: Any, found: Mapping[str, Mapping[str, Any] | None], *, base: str, best: bool) -> None:
    panel.axvline(0.0, color=GREY, linewidth=0.9)
    for place, one in enumerate(found.values()):
        if one is None:  # the base itself
            panel.plot(0.0, place, marker="D", color=GREY, markersize=4)
        elif one["mean"] is not None:
            colour = _COLOUR.get(one["reading"], GREY)
            if one["low"] is not None:
                panel.plot([one["low"], one["high"]], [place, place], color=colour, linewidth=1.4)
            panel.plot(one["mean"], place, marker="o", color=colour, markersize=4)
    panel.set_title(f"from {base}" + (", the best on valid" if best else ""), fontsize=9, color=INK, parse_math=False)
    said = "MAE difference, 95 % interval (left: better)\ncolour: shown after Holm; bars: not adjusted"
    panel.set_xlabel(said, fontsize=8, color=INK)
    plain(panel)


def _ranks(panel: Any, ranks: Ranks) -> None:
    """Methods hang from an axis of ranks, the better half to the left; a bar joins those that are not told apart."""
    k = len(ranks.mean)
    half = (k + 1) // 2
    depth = 1.2 + 0.3 * len(ranks.groups)
    first, last = math.floor(min(ranks.mean.values())), math.ceil(max(ranks.mean.values()))
    last = max(last, first + math.ceil(ranks.difference))  # there is room for the critical difference
    span = last - first
    panel.set_xlim(first - 0.45 * span, last + 0.45 * span)
    panel.set_ylim(depth + half, -1.6)
    panel.plot([first, last], [0, 0], color=INK, linewidth=1.0)
    for rank in range(first, last + 1):
        panel.plot([rank, rank], [-0.15, 0], color=INK, linewidth=0.8)
        panel.text(rank, -0.3, str(rank), ha="center", va="bottom", fontsize=7, color=INK)
    for place, (name, rank) in enumerate(ranks.mean.items()):
        left = place < half
        level = depth + (place if left else k - 1 - place)
        edge = first - 0.05 * span if left else last + 0.05 * span
        panel.plot([rank, rank, edge], [0, level, level], color=GREY, linewidth=0.7)
        text = f"{name}  {rank:.2f}" if left else f"{rank:.2f}  {name}"
        panel.text(edge, level, f" {text} ", ha="right" if left else "left", va="center", fontsize=8, color=INK)
    for number, group in enumerate(ranks.groups):
        level = 0.5 + 0.3 * number
        ends = ranks.mean[group[0]] - 0.005 * span, ranks.mean[group[-1]] + 0.005 * span
        panel.plot(ends, [level, level], color=INK, linewidth=2.6, solid_capstyle="butt")
    panel.plot([first, first + ranks.difference], [-1.2, -1.2], color=COLOURS["text"], linewidth=2.0)
    said = f"  critical difference {ranks.difference:.2f}, {ranks.samples} samples"
    panel.text(first + ranks.difference, -1.2, said, ha="left", va="center", fontsize=8, color=INK)
    panel.set_axis_off()
