"""Predictions within coarse classes: known answers, from finished runs, and drawn."""

import csv

import numpy as np
import pytest

from msa_jax.errors import InputError
from msa_jax.losses import coarse_bounds
from msa_jax.report import panels, studies
from msa_jax.report.class_spread import spread
from msa_jax.report.studies import reproduce
from tests.report.studies_kit import pretend_to_train, write_study
from tests.tiny import tiny_dataset, toy  # noqa: F401 - toy is a fixture

pytest.importorskip("matplotlib")
MOSI, SIMS = coarse_bounds(3, (-3.0, 3.0)), coarse_bounds(3, (-1.0, 1.0))  # inner edges ±0.5; ±0.1


def test_a_class_in_numbers():
    label = np.array([-2.0, -1.0, -0.6, -3.0, -0.5, 0.0, 0.4], np.float32)
    prediction = np.array([-2.5, -0.25, 1.5, -1.0, 0.0, -0.5, 2.5], np.float32)
    negative, neutral, positive = spread(prediction, label, MOSI)
    assert negative["rows"] == 4
    assert negative["inside"] == 0.5  # -2.5 and -1
    assert negative["outside"] == pytest.approx((0.25 + 2.0) / 4)  # from -0.5 to -0.25 and to 1.5
    for name, share in (("p5", 5), ("p25", 25), ("median", 50), ("p75", 75), ("p95", 95)):
        assert negative[name] == pytest.approx(np.percentile([-2.5, -0.25, 1.5, -1.0], share))
    assert negative["middle_half"] == pytest.approx(negative["p75"] - negative["p25"])
    assert negative["nine_tenths"] == pytest.approx(negative["p95"] - negative["p5"])
    # -0.5 is neutral as a label and as a prediction: bins of MOSI are closed on the left.
    assert (neutral["rows"], neutral["inside"]) == (3, pytest.approx(2 / 3))
    assert neutral["outside"] == pytest.approx(2 / 3)
    assert positive["rows"] == 0
    assert all(value is None for key, value in positive.items() if key != "rows")


def test_predictions_that_are_the_labels_lie_inside():
    label = np.linspace(-1, 1, 41).astype(np.float32)
    for found in spread(label, label, SIMS):
        assert (found["inside"], found["outside"]) == (1, 0)


# -- from runs --------------------------------------------------------------------------------------------------------


@pytest.fixture
def finished(tmp_path, monkeypatch, toy):  # noqa: F811
    """A finished study of two variants, the first of which has restricted scores; its predictions {name: [N]}."""
    dataset = tiny_dataset(modalities=("audio",), rows=(8, 8, 12))
    rng = np.random.default_rng(0)
    written = {}

    def train(method, dataset, *, out, seeds, options, **rest):
        pretend_to_train()(method, dataset, out=out, seeds=seeds, options=options, **rest)
        heads = ("prediction", "restricted") if out.name == "a" else ("prediction",)
        columns = {f"{seed}/{head}": rng.normal(size=12).round(3) for seed in seeds for head in heads}
        written.update({f"{out.name}/{name}": values for name, values in columns.items()})
        (out / "predictions").mkdir()
        with (out / "predictions" / "test.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "label", *columns])
            writer.writerows(zip(dataset.test.id, dataset.test.label, *columns.values(), strict=True))

    monkeypatch.setattr(studies, "train", train)
    variants = (
        {"name": "A", "method": "toy", "options": {"dropout": 0.0}},
        {"name": "B", "method": "toy", "options": {"dropout": 0.4}},
    )
    study = write_study(tmp_path / "toy_figure9.py", kind="class_spread", columns=None, variants=variants)
    given = {"seeds": (1, 2), "out": tmp_path / "out", "log": None}
    return dataset, written, lambda: reproduce(study, dataset, **given)


def test_every_variant_has_its_classes_and_restricted_scores_their_own(tmp_path, finished):
    dataset, written, run = finished
    found = run()
    (table,) = found.tables
    names = [(row[0], row[1]) for row in table.rows]
    classes = ("negative", "neutral", "positive")
    assert names == [(name, one) for name in ("A", "A, restricted", "B") for one in classes]
    label = dataset.test.label
    here = label < -0.5
    medians = [np.median(written[f"a/{seed}/restricted"][here]) for seed in (1, 2)]
    row = table.rows[3]
    assert row[2:4] == (int(here.sum()), 2)
    assert row[4] == f"{np.mean(medians):.3f} ± {np.std(medians, ddof=1):.3f}"
    inside = [100 * np.mean(written[f"b/{seed}/prediction"][label >= 0.5] >= 0.5) for seed in (1, 2)]
    assert table.rows[8][7] == f"{np.mean(inside):.1f} ± {np.std(inside, ddof=1):.1f}"
    assert found.content["edges"] == [-0.5, 0.5]
    assert (tmp_path / "out" / "figure.png").stat().st_size > 1000


def test_predictions_without_a_seed_are_refused(tmp_path, finished):
    _, _, run = finished
    run()
    path = tmp_path / "out" / "b" / "predictions" / "test.csv"
    path.write_text(path.read_text().replace("2/prediction", "3/prediction"))
    with pytest.raises(InputError, match=r"test.csv: lacks the predictions of some seeds"):
        run()


# -- drawn ------------------------------------------------------------------------------------------------------------


def test_bars_lie_at_their_quantiles_and_bands_at_their_bins():
    at = {"p5": -2.0, "p25": -1.5, "median": -1.0, "p75": -0.5, "p95": 0.5}
    nothing = dict.fromkeys(at)
    variants = {"A": [at, nothing, at], "B": [at, nothing, at]}
    figure = panels.class_spread(variants, classes=("x", "y", "z"), ends=(-3.0, -0.5, 0.5, 3.0), title="a title")
    (panel,) = figure.axes
    assert [(band.get_y(), band.get_height()) for band in panel.patches] == [(-3.0, 2.5), (-0.5, 1.0), (0.5, 2.5)]
    lines = panel.get_lines()
    assert len(lines) == 2 * 2 * 3  # variants, classes with rows, marks
    thin, thick, dot = lines[:3]
    assert list(thin.get_ydata()) == [-2.0, 0.5]
    assert list(thick.get_ydata()) == [-1.5, -0.5]
    assert list(dot.get_ydata()) == [-1.0]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["A", "B"]
    low, high = panel.get_ylim()
    assert low <= -3.0 < 3.0 <= high
    figure.draw_without_rendering()
