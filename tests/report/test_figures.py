import importlib.util
import struct
import sys

import numpy as np
import pytest

from msa_jax.errors import InputError
from msa_jax.report import figures, panels

pytest.importorskip("matplotlib")

RNG = np.random.default_rng(0)
M_LABEL = RNG.choice(np.linspace(-3, 3, 31), 200).astype(np.float32)
LABELS = {
    "text": np.clip(M_LABEL + RNG.normal(0, 0.4, (3, 200)), -3, 3).astype(np.float32),
    "vision": np.clip(M_LABEL + RNG.normal(0, 1.5, (3, 200)), -3, 3).astype(np.float32),
}


def draw(**changes):
    given = {"labels": LABELS, "m_label": M_LABEL, "epochs": [1, 3], "label_range": (-3.0, 3.0), "title": "a title"}
    given |= changes
    return figures.label_distributions(given.pop("labels"), given.pop("m_label"), **given)


@pytest.mark.parametrize(
    ("labels", "label_range", "steps"),
    [
        (np.arange(-5, 6) / 5, (-1, 1), 10),  # SIMS: fifths
        (np.arange(-9, 10) / 3, (-3, 3), 18),  # MOSEI: thirds
        (np.arange(-15, 16) / 5, (-3, 3), 30),  # MOSI: fifths
        (np.random.default_rng(1).uniform(-3, 3, 500), (-3, 3), 24),  # no grid
    ],
)
def test_bins_are_centred_on_the_steps_of_the_labels(labels, label_range, steps):
    edges = figures.label_bins(labels.astype(np.float32), label_range)
    assert len(edges) == steps + 2
    np.testing.assert_allclose(np.diff(edges), (label_range[1] - label_range[0]) / steps)
    centres = (edges[1:] + edges[:-1]) / 2
    np.testing.assert_allclose(centres[[0, -1]], label_range)
    if steps != 24:  # one label step in one bin
        assert set(np.histogram(labels, edges)[0]) == {1}


def test_bins_ignore_a_few_labels_off_the_grid():
    labels = np.concatenate([np.arange(-15, 16) / 5, [0.25, 1 / 3]])
    assert len(figures.label_bins(labels, (-3.0, 3.0))) == 32


def test_every_panel_holds_all_rows_and_the_same_outline():
    figure = draw()
    assert len(figure.axes) == 4
    edges = figures.label_bins(M_LABEL, (-3.0, 3.0))
    outline = 100 * np.histogram(M_LABEL, edges)[0] / 200
    expected = [values[epoch - 1] for values in LABELS.values() for epoch in (1, 3)]
    for panel, values in zip(figure.axes, expected, strict=True):
        filled, line = panel.patches
        np.testing.assert_allclose(filled.get_data().values, 100 * np.histogram(values, edges)[0] / 200)
        np.testing.assert_allclose(line.get_data().values, outline)
        assert filled.get_data().values.sum() == pytest.approx(100)
        assert panel.get_ylim() == figure.axes[0].get_ylim()
        assert panel.get_xlim() == pytest.approx((edges[0], edges[-1]))


def test_labels_beyond_the_range_are_drawn_at_its_end():
    beyond = {"audio": np.full((1, 200), 9.0, np.float32)}
    (panel,) = draw(labels=beyond, epochs=[1]).axes
    assert panel.patches[0].get_data().values[-1] == 100


def test_axes_are_labelled():
    figure = draw(title="cost: 5$ and $x")
    assert [panel.get_title() for panel in figure.axes] == ["epoch 1", "epoch 3", "", ""]
    assert [panel.get_ylabel() for panel in figure.axes[::2]] == ["text\nsamples [%]", "vision\nsamples [%]"]
    assert [panel.get_xlabel() for panel in figure.axes] == ["", "", "label", "label"]
    assert figure.get_suptitle() == "cost: 5$ and $x"
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["u-label, text", "u-label, vision", f"m-label, the same in every panel (n = {len(M_LABEL)})"]


def test_figure_is_saved_as_png_of_150_dots_an_inch(tmp_path):
    figure = draw(title="$ is no formula")
    figures.save(figure, tmp_path / "figure.png")
    header = (tmp_path / "figure.png").read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", header[16:24]) == tuple(int(150 * inches) for inches in figure.get_size_inches())
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]


def test_a_figure_is_saved_in_every_form_and_the_same_one_as_the_same_bytes(tmp_path):
    one, other = (figures.save_all(draw(), tmp_path / f"{name}.png") for name in ("one", "other"))
    assert [path.name for path in one] == ["one.png", "one.svg", "one.pdf"]
    starts = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}
    for first, second in zip(one, other, strict=True):
        assert first.read_bytes().startswith(starts[first.suffix])
        assert first.read_bytes() == second.read_bytes()


def test_more_variants_than_colours_have_other_lines():
    curve = np.arange(6.0).reshape(3, 2)
    figure = panels.bands([0, 1, 2], {str(k): curve for k in range(7)}, xlabel="x", ylabel="y", title="t")
    looks = [(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines]
    assert len(set(looks)) == 7
    assert looks[0][0] == looks[5][0]


def test_a_grid_of_bands_has_a_panel_each_in_one_scale():
    low, high = np.zeros((3, 2)), np.array([[1.0, 3.0]] * 3)
    figure = panels.band_grid(
        [0, 0.5, 1], {"A": {"plain": low, "more": high}, "B": {"plain": high}}, xlabel="x", ylabel="y", title="5$"
    )
    first, second = (panel for panel in figure.axes if panel.axison)
    assert [panel.get_title() for panel in (first, second)] == ["A", "B"]
    assert first.get_ylim() == second.get_ylim()
    assert [panel.get_xlabel() for panel in (first, second)] == ["x", "x"]
    np.testing.assert_array_equal(first.lines[1].get_ydata(), [2, 2, 2])
    band = first.collections[1].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx((2 - 2**0.5, 2 + 2**0.5))
    assert first.lines[0].get_color() == second.lines[0].get_color() != first.lines[1].get_color()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["plain", "more"]


def legend_of_bands(names):
    return panels.bands([0, 1], {name: np.zeros((2, 2)) for name in names}, xlabel="x", ylabel="y", title="t")


def legend_of_points(names):
    return panels.bands(["T", "A"], {name: np.zeros((2, 2)) for name in names}, xlabel="x", ylabel="y", title="t")


def legend_of_a_grid(names):
    grid = {"A": {name: np.zeros((2, 2)) for name in names}}
    return panels.band_grid([0, 1], grid, xlabel="x", ylabel="y", title="t")


def legend_of_curves(names):
    return panels.valid_curves({name: [np.ones(3)] for name in names}, title="t", ylabel="y")


def legend_of_classes(names):
    spread = [dict.fromkeys(("p5", "p25", "median", "p75", "p95"), 0.0)]
    return panels.class_spread(dict.fromkeys(names, spread), classes=["one"], ends=[-1, 1], title="t")


@pytest.mark.parametrize(
    "draw_names", [legend_of_bands, legend_of_points, legend_of_a_grid, legend_of_curves, legend_of_classes]
)
def test_every_name_is_in_the_legend_as_it_is(draw_names):
    names = ["plain", "_old", "__", "5$ x $"]
    figure = draw_names(names)
    figure.draw_without_rendering()
    shown = [text.get_text().replace(r"\$", "$") for text in figure.legends[0].get_texts()]
    assert [text.removeprefix("\u200b") for text in shown] == names


@pytest.mark.parametrize("epochs", [[1], [1, 2], [1, 2, 3]])
def test_nothing_is_drawn_outside_the_figure(epochs):
    figure = draw(epochs=epochs, title="u-labels of Self-MM on a dataset after an epoch, seed 1111")
    figure.draw_without_rendering()
    width, height = figure.bbox.width, figure.bbox.height
    for part in (figure.legends[0], figure._suptitle, *(panel.yaxis.label for panel in figure.axes)):
        box = part.get_window_extent()
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= width
        assert box.y1 <= height


def test_drawing_leaves_no_global_state():
    draw()
    plots = sys.modules.get("matplotlib.pyplot")
    assert plots is None or not plots.get_fignums()


def test_without_matplotlib_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install '\.\[plots\]'"):
        figures.check_matplotlib()
