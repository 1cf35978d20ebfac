"""Curves of the error on valid: in numbers, from runs that were trained, and drawn."""

import json

import numpy as np
import pytest

from msa_jax.errors import InputError
from msa_jax.report import panels
from msa_jax.report.studies import reproduce
from msa_jax.report.valid_curves import summary
from tests.report.studies_kit import write_study
from tests.tiny import TOY_QUICK, tiny_dataset, toy  # noqa: F401 - toy is a fixture

pytest.importorskip("matplotlib")
FIGURE = {
    "kind": "valid_curves",
    "columns": None,
    "variants": ({"name": "A", "method": "toy"},),
}


def test_a_curve_in_numbers():
    found = summary(np.array([3.0, 1.01, 2.0, 1.0, 1.0, 1.5]))
    # Differences: 1.99, 0.99, 1, 0, 0.5. Within 2 % of 1 is 1.02, reached at the second epoch.
    want = {"first": 3, "lowest": 1, "last": 1.5, "lowest_epoch": 4, "near_epoch": 2, "change": 4.48 / 5}
    assert found == pytest.approx(want)


def test_one_epoch_does_not_change():
    want = {"first": 0.7, "lowest": 0.7, "last": 0.7, "lowest_epoch": 1, "near_epoch": 1, "change": 0}
    assert summary(np.array([0.7])) == pytest.approx(want)


def test_the_curves_are_those_of_the_last_stage_that_training_wrote(tmp_path, toy):  # noqa: F811
    study = write_study(tmp_path / "toy_figure9.py", **FIGURE)
    options = {**TOY_QUICK, "max_epochs": 3, "stages": 2, "encoder_epochs": 2}
    given = {"seeds": (1, 2), "out": tmp_path / "out", "log": None, "options": options}
    dataset = tiny_dataset(modalities=("audio",))
    found = reproduce(study, dataset, **given)
    content = json.loads((tmp_path / "out" / "table.json").read_text())["variants"]
    lines = [json.loads(line) for line in (tmp_path / "out" / "a" / "metrics.jsonl").read_text().splitlines()]
    for seed in (1, 2):
        # Two epochs of the encoder's stage, which are left out, and three of the last.
        want = [line["valid"]["MAE"] for line in lines if line["seed"] == seed]
        assert len(want) == 5
        assert content["A"][str(seed)]["epochs"] == want[2:]
        assert content["A"][str(seed)]["lowest"] == min(want[2:])
        assert content["A"][str(seed)]["lowest_epoch"] == 1 + int(np.argmin(want[2:]))
    (table,) = found.tables
    lowest = [content["A"][seed]["lowest"] for seed in ("1", "2")]
    assert table.rows[0][:2] == ("A", 2)
    assert table.rows[0][3] == f"{np.mean(lowest):.3f} ± {np.std(lowest, ddof=1):.3f}"
    assert (tmp_path / "out" / "figure.png").stat().st_size > 1000

    (tmp_path / "out" / "a" / "metrics.jsonl").write_text('{"seed": 1, "valid": {}}\n')
    with pytest.raises(InputError, match=r"metrics\.jsonl: not the epochs of every run"):
        reproduce(study, dataset, **given)


def test_the_mean_goes_as_far_as_all_runs_and_its_lowest_is_circled():
    runs = [np.array([3.0, 1.0, 2.0, 9.0]), np.array([5.0, 2.0, 1.5])]
    figure = panels.valid_curves({"A": runs, "5$ x $": [np.array([1.0])]}, title="a title", ylabel="MAE")
    (panel,) = figure.axes
    first, second, mean, circle, alone, last = panel.get_lines()
    np.testing.assert_array_equal(first.get_ydata(), runs[0])
    np.testing.assert_array_equal(second.get_xdata(), [1, 2, 3])
    np.testing.assert_allclose(mean.get_ydata(), [4.0, 1.5, 1.75])
    assert (circle.get_xdata(), circle.get_ydata()) == ([2], [1.5])
    assert circle.get_marker() == last.get_marker() == "o"
    np.testing.assert_array_equal(alone.get_ydata(), [1.0])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["A", r"5\$ x \$"]
    figure.draw_without_rendering()
