"""Cosines between the parts of a sample: of known vectors, from finished runs, and drawn."""

import numpy as np
import pytest

from msa_jax.errors import InputError
from msa_jax.report import panels, part_similarity, studies
from msa_jax.report.exports import exported_names
from msa_jax.report.part_similarity import contrasts, mean_cosines
from msa_jax.report.studies import load_study, reproduce
from tests.report.studies_kit import exporting, pretend_to_train, write_study
from tests.tiny import TOY_QUICK, tiny_dataset

pytest.importorskip("matplotlib")
RNG = np.random.default_rng(0)
NAMES = ("ts", "vs", "as", "td", "vd", "ad")


def test_cosines_are_those_of_a_loop_over_rows():
    parts = {name: RNG.normal(size=(7, 4)).astype(np.float32) for name in NAMES}
    found = mean_cosines(parts)
    assert found.shape == (6, 6)
    for row, a in enumerate(parts.values()):
        for column, b in enumerate(parts.values()):
            want = np.mean([x @ y / (np.linalg.norm(x) * np.linalg.norm(y)) for x, y in zip(a, b, strict=True)])
            assert found[row, column] == pytest.approx(want, abs=1e-6)


def test_the_length_of_a_vector_does_not_count_and_nothing_is_like_zero():
    one = RNG.normal(size=(5, 3))
    found = mean_cosines({"ts": one, "vs": 100 * one, "td": -one, "vd": np.zeros((5, 3))})
    np.testing.assert_allclose(found[0], [1, 1, -1, 0], atol=1e-12)
    np.testing.assert_allclose(found, found.T)


def test_pairs_are_those_that_the_contrast_compares():
    matrix = np.arange(36.0).reshape(6, 6)  # cell [r, c] is 6 r + c
    assert contrasts(matrix, NAMES) == {
        "positive": 1.5,  # cells 1 and 2
        "negative": 4.0,  # 3, 4 and 5
        "own": (3 + 10 + 17) / 3,
        "similar": (1 + 2 + 8) / 3,
        "dissimilar": (22 + 23 + 29) / 3,
    }


def test_pairs_that_are_not_there_have_no_number():
    found = contrasts(np.array([[1.0, 0.3], [0.3, 1.0]]), ("vs", "vd"))
    assert found == {"positive": None, "negative": 0.3, "own": 0.3, "similar": None, "dissimilar": None}


# -- from runs --------------------------------------------------------------------------------------------------------


@pytest.fixture
def study(tmp_path, monkeypatch):
    exporting(monkeypatch, "part_ts", "part_vs", "part_td", "part_vd", "representation")
    return write_study(
        tmp_path / "toy_figure9.py",
        kind="part_similarity",
        columns=None,
        variants=(
            {"name": "A", "method": "toy", "options": {"dropout": 0.0}},
            {"name": "B", "method": "toy", "options": {"dropout": 0.4}},
        ),
    )


def test_the_matrix_is_that_of_the_parts_of_every_run(tmp_path, study, monkeypatch):
    monkeypatch.setattr(studies, "train", pretend_to_train())
    dataset = tiny_dataset(modalities=("audio",))
    parts = {
        (variant, seed): {name: RNG.normal(size=(8, 3)) for name in ("part_ts", "part_vs", "part_td", "part_vd")}
        for variant in "AB"
        for seed in (1, 2)
    }

    def exports(outcome, given, splits):
        assert given is dataset
        rest = {"representation": np.zeros((8, 5))}
        return {seed: {split: {**parts[outcome.variant.name, seed], **rest} for split in splits} for seed in (1, 2)}

    monkeypatch.setattr(part_similarity, "read_exports", exports)
    given = {"seeds": (1, 2), "out": tmp_path / "out", "log": None, "options": TOY_QUICK}
    found = reproduce(study, dataset, **given)
    assert found.content["rows"] == 8
    cosines = []
    for seed in (1, 2):
        t, v = (parts["B", seed][name] for name in ("part_ts", "part_vs"))
        cosines.append(np.mean((t * v).sum(1) / np.linalg.norm(t, axis=1) / np.linalg.norm(v, axis=1)))
        run = found.content["variants"]["B"][str(seed)]
        assert run["parts"] == ["ts", "vs", "td", "vd"]
        assert run["cosines"][0][1] == run["positive"] == pytest.approx(cosines[-1])
    first, of_a, of_b = found.tables
    assert first.rows[1][:3] == ("B", 2, f"{np.mean(cosines):.3f} ± {np.std(cosines, ddof=1):.3f}")
    assert of_a.columns == ("part", "T_s", "V_s", "T_d", "V_d")
    assert of_b.rows[0][:3] == ("T_s", "1.000", f"{np.mean(cosines):.3f}")
    assert (tmp_path / "out" / "figure.png").stat().st_size > 1000


def test_a_method_without_parts_is_refused_before_anything_is_trained(tmp_path, study, monkeypatch):
    exporting(monkeypatch, "representation")
    monkeypatch.setattr(studies, "train", None)
    with pytest.raises(InputError, match="method toy exports no part_ts or the like"):
        reproduce(study, tiny_dataset(modalities=("audio",)), out=tmp_path / "out", log=None)
    assert not (tmp_path / "out").exists()


def test_the_parts_of_the_shipped_study_are_exported():
    part_similarity.check(load_study("dmmsa.figure5"))
    names = [name for name in exported_names("dmmsa") if name.startswith(part_similarity.PREFIX)]
    assert names == [f"part_{name}" for name in NAMES]


# -- drawn ------------------------------------------------------------------------------------------------------------


def test_every_cell_has_its_number_in_one_scale():
    matrix = np.array([[1.0, -0.25], [0.5, 1.0]])
    figure = panels.matrices({"A": matrix, "5$ x $": -matrix}, names=["T_s", "T_d"], title="a title")
    first, second = figure.axes[:2]
    assert [text.get_text() for text in first.texts] == ["1.00", "-0.25", "0.50", "1.00"]
    assert [text.get_position() for text in first.texts] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    assert [image.get_clim() for panel in (first, second) for image in panel.images] == [(-1, 1)] * 2
    assert [label.get_text() for label in first.get_yticklabels()] == ["T_s", "T_d"]
    assert second.get_title() == "5$ x $"
    figure.draw_without_rendering()
