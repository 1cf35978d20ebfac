"""Fused representations: numbers of known clouds, the drawing, and a study from runs that were trained."""

import importlib.util
import json

import numpy as np
import pytest

from msa_jax.errors import InputError
from msa_jax.report import figures, representations, studies
from msa_jax.report.representations import embed, numbers
from msa_jax.report.studies import reproduce
from msa_jax.report.vectors import silhouette
from msa_jax.train.predictor import Predictor
from tests.report.studies_kit import exporting, pretend_to_train, write_study
from tests.tiny import TOY_QUICK, tiny_dataset

pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")
RNG = np.random.default_rng(0)
LABELS = {"train": RNG.uniform(-3, 3, 120), "test": RNG.uniform(-3, 3, 60)}
LABELS["test"][:9] = 0
VARIANTS = (
    {"name": "A", "method": "toy", "options": {"dropout": 0.0}},
    {"name": "B", "method": "toy", "options": {"dropout": 0.4}},
)


@pytest.fixture(autouse=True)
def _same_draws():
    """Whichever tests run before."""
    RNG.bit_generator.state = np.random.default_rng(1).bit_generator.state


def test_a_representation_that_follows_the_label_is_told_from_noise():
    way = RNG.normal(size=8)
    follows = {split: np.outer(y, way) + 0.1 * RNG.normal(size=(len(y), 8)) for split, y in LABELS.items()}
    noise = {split: RNG.normal(size=(len(y), 8)) for split, y in LABELS.items()}
    good, bad = numbers(follows, LABELS)["test"], numbers(noise, LABELS)["test"]
    assert good["probe_corr"] > 0.99
    assert abs(bad["probe_corr"]) < 0.4
    assert good["silhouette"] > 0.2 > 0.1 > bad["silhouette"]
    assert good["rank"] < 3 < 7 < bad["rank"]
    assert good["uniformity"] > bad["uniformity"]


def test_the_probe_never_sees_the_labels_of_test():
    arrays = {split: RNG.normal(size=(len(y), 40)) for split, y in LABELS.items()}
    found = numbers(arrays, LABELS)
    assert found["train"]["probe_corr"] > 0.4  # learned by heart
    assert abs(found["test"]["probe_corr"]) < 0.4
    turned = numbers(arrays, {**LABELS, "test": -LABELS["test"]})
    assert turned["test"]["probe_corr"] == pytest.approx(-found["test"]["probe_corr"])


def test_a_representation_that_has_collapsed_has_no_correlation():
    found = numbers({split: np.ones((len(y), 3)) for split, y in LABELS.items()}, LABELS)["test"]
    assert found == {"silhouette": 0, "probe_corr": None, "rank": 0, "uniformity": pytest.approx(0)}


def test_groups_lie_around_the_neutral_point():
    labels = {split: y + 3.0 for split, y in LABELS.items()}  # from 0 to 6
    follows = {
        split: np.outer(np.sign(y), np.ones(4)) + 0.1 * RNG.normal(size=(len(y), 4)) for split, y in LABELS.items()
    }
    want = numbers(follows, LABELS)["test"]["silhouette"]
    assert want > 0.5
    assert numbers(follows, labels, neutral=3.0)["test"]["silhouette"] == pytest.approx(want)
    assert numbers(follows, labels)["test"]["silhouette"] is None  # all of them are above 0


def test_an_embedding_is_the_same_every_time_and_keeps_far_things_apart():
    vectors = RNG.normal(size=(60, 5)) + 30 * (np.arange(60) % 2)[:, None]
    first, second = embed(vectors), embed(vectors)
    np.testing.assert_array_equal(first, second)
    assert first.shape == (60, 2)
    assert silhouette(first, np.arange(60) % 2) > 0.5


@pytest.mark.parametrize("vectors", [np.zeros((40, 3)), np.ones((3, 5)), np.arange(12.0)[:, None], np.eye(4)], ids=len)
def test_whatever_there_is_has_a_place(vectors):
    place = embed(vectors)
    assert place.shape == (len(vectors), 2)
    assert np.isfinite(place).all()


# -- drawn ------------------------------------------------------------------------------------------------------------


def test_every_sample_has_the_colour_of_its_label_and_neutral_ones_lie_on_top():
    place, label = RNG.normal(size=(50, 2)), np.linspace(-1, 1, 50)
    whole = {"train": (place, label), "test": (place[:9], label[:9])}
    figure = figures.embeddings({"A": whole, "5$ x $": whole}, label_range=(-1.0, 1.0), title="a title")
    panels = figure.axes[:4]
    assert [panel.get_title() for panel in panels] == ["train, n = 50", "test, n = 9"] * 2
    assert [panel.get_ylabel() for panel in panels] == ["A", "", "5$ x $", ""]
    (points,) = panels[0].collections
    drawn = {tuple(p): value for p, value in zip(np.asarray(points.get_offsets()), points.get_array(), strict=True)}
    assert drawn == {tuple(p): value for p, value in zip(place, label, strict=True)}
    assert points.get_clim() == (-1, 1)
    assert (np.diff(np.abs(points.get_array())) <= 0).all()


def test_samples_in_the_middle_of_a_range_without_zero_lie_on_top():
    panels = {"A": {"train": (RNG.normal(size=(9, 2)), np.linspace(1, 5, 9))}}
    figure = figures.embeddings(panels, label_range=(1.0, 5.0), title="a title")
    (points,) = figure.axes[0].collections
    assert points.get_array()[-1] == 3
    assert (np.diff(np.abs(points.get_array() - 3)) <= 0).all()


@pytest.mark.parametrize("label_range", [(-1.0, 3.0), (-3.0, 3.0), (1.0, 5.0)])
def test_the_neutral_point_is_grey(label_range):
    neutral = 3.0 if label_range == (1.0, 5.0) else 0.0
    panels = {"A": {"train": (RNG.normal(size=(9, 2)), np.linspace(*label_range, 9))}}
    figure = figures.embeddings(panels, label_range=label_range, title="a title")
    red, green, blue, _ = figure.axes[0].collections[0].to_rgba(neutral)
    assert max(red, green, blue) - min(red, green, blue) < 0.01


def test_nothing_is_drawn_outside_the_figure():
    panels = {"MMCL": {"train": (RNG.normal(size=(9, 2)), np.zeros(9))}}
    title = "t-SNE of the fused representation, mosei, seed 1111"
    figure = figures.embeddings(panels, label_range=(-3.0, 3.0), title=title)
    figure.draw_without_rendering()
    for part in (figure._suptitle, figure.axes[1].yaxis.label):
        box = part.get_window_extent()
        assert min(box.x0, box.y0) >= 0
        assert box.x1 <= figure.bbox.width


# -- from runs --------------------------------------------------------------------------------------------------------


@pytest.fixture
def study(tmp_path, monkeypatch):
    exporting(monkeypatch, "representation")
    return write_study(tmp_path / "toy_figure9.py", kind="representations", columns=None, variants=VARIANTS)


@pytest.mark.slow
def test_numbers_are_those_of_what_trained_runs_export(tmp_path, study, monkeypatch):
    dataset = tiny_dataset(modalities=("audio",), rows=(24, 8, 12))
    monkeypatch.setattr(representations, "DRAWN", 10)
    given = {"seeds": (1, 2), "out": tmp_path / "out", "log": None, "options": {**TOY_QUICK, "max_epochs": 2}}
    found = reproduce(study, dataset, **given)
    content = json.loads((tmp_path / "out" / "table.json").read_text())["variants"]
    predictor = Predictor.load(tmp_path / "out" / "b")
    arrays = {
        split: predictor.predict_runs(dataset.splits()[split], exports=True)[2]["representation"]
        for split in ("train", "test")
    }
    want = numbers(arrays, {"train": dataset.train.label, "test": dataset.test.label})
    assert content["B"]["2"] == {split: pytest.approx(numbers) for split, numbers in want.items()}
    assert [row[:3] for row in found.tables[0].rows] == [
        ("A", "train", 2), ("A", "test", 2), ("B", "train", 2), ("B", "test", 2),
    ]  # fmt: skip
    ranks = [content["A"][seed]["test"]["rank"] for seed in ("1", "2")]
    assert found.tables[0].rows[1][5] == f"{np.mean(ranks):.1f} ± {np.std(ranks, ddof=1):.1f}"
    figure = found.figures["figure.png"]
    assert [panel.get_title() for panel in figure.axes[:4]] == ["train, n = 10", "test, n = 10"] * 2
    assert (tmp_path / "out" / "figure.png").stat().st_size > 1000


def test_a_study_groups_stars_around_their_middle(tmp_path, study, monkeypatch):
    monkeypatch.setattr(studies, "train", pretend_to_train())
    dataset = tiny_dataset(modalities=("audio",), rows=(24, 8, 12), label_range=(1.0, 5.0), metrics="regression")
    arrays = {split: RNG.normal(size=(len(dataset.split(split)), 3)) for split in ("train", "test")}
    made = {1: {split: {"representation": array} for split, array in arrays.items()}}
    monkeypatch.setattr(representations, "read_exports", lambda *_: made)
    found = reproduce(study, dataset, seeds=(1,), out=tmp_path / "out", log=None)
    groups = np.sign(dataset.test.label - 3)
    assert len(set(groups)) > 1
    expected = pytest.approx(silhouette(arrays["test"], groups))
    assert found.content["variants"]["A"]["1"]["test"]["silhouette"] == expected


@pytest.mark.parametrize(
    ("exports", "installed", "message"),
    [
        ((), True, "method toy exports no representation"),
        (("representation",), False, r"pip install '\.\[plots\]'"),
    ],
)
def test_what_cannot_be_drawn_is_said_before_anything_is_trained(
    tmp_path, study, monkeypatch, exports, installed, message
):
    exporting(monkeypatch, *exports)
    monkeypatch.setattr(studies, "train", None)
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: found(name) if installed or name != "sklearn" else None
    )
    with pytest.raises(InputError, match=message):
        reproduce(study, tiny_dataset(modalities=("audio",)), out=tmp_path / "out", log=None)
    assert not (tmp_path / "out").exists()
