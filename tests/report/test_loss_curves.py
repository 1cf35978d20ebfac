"""Loss curves: from the records of real runs and of made ones, in numbers and drawn."""

import json
from dataclasses import replace

import numpy as np
import pytest

from msa_jax.errors import InputError
from msa_jax.report import figures, studies
from msa_jax.report.figures import Curves
from msa_jax.report.loss_curves import StepHistory, curves, summary
from msa_jax.report.studies import load_study, reproduce
from msa_jax.report.study import Curve
from tests.report.studies_kit import write_study
from tests.tiny import TOY_QUICK, tiny_dataset, toy  # noqa: F401 - toy is a fixture

pytest.importorskip("matplotlib")
FIGURE = {
    "kind": "loss_curves",
    "columns": None,
    "variants": ({"name": "A", "method": "toy", "options": {"record_steps": 3}},),
    "curves": (
        {"name": "L_reg", "terms": ("multimodal",)},
        {"name": "exp(both)", "terms": ("inertia", "spread", "absent"), "exponential": True},
        {"name": "L_absent", "terms": ("absent",)},
    ),
}


def history(**changes):
    """Three epochs of two records, of four and of two mini-batches."""
    made = StepHistory(
        seed=1,
        step=np.array([4, 6, 10, 12, 16, 18]),
        steps=np.array([4, 2, 4, 2, 4, 2]),
        epoch=np.array([1, 1, 2, 2, 3, 3]),
        terms={"a": np.array([6.0, 3.0, 1.0, 1.0, 2.0, 5.0]), "b": np.zeros(6)},
        best_epoch=2,
    )
    return replace(made, **changes)


def test_a_curve_in_numbers():
    found = summary(history(), history().terms["a"])
    # Means over the mini-batches of an epoch: (4 x 6 + 2 x 3) / 6 = 5, 1, (4 x 2 + 2 x 5) / 6 = 3.
    assert found == pytest.approx({"first": 6, "lowest": 1, "best_epoch": 1, "last_epoch": 3, "rise": 2})


def test_a_curve_that_only_falls_has_no_rise():
    assert summary(history(), np.arange(6.0)[::-1])["rise"] == 0
    assert summary(history(best_epoch=None), np.zeros(6))["best_epoch"] is None


def test_a_curve_is_the_sum_of_its_terms_or_the_exponential_of_it():
    one = history(terms={"a": np.array([0.0, 1.0]), "b": np.array([0.5, -1.0])})
    wanted = (Curve(name="sum", terms=("a", "b")), Curve(name="e", terms=("a", "b", "none"), exponential=True))
    found = curves(one, (*wanted, Curve(name="none", terms=("none",))))
    assert list(found) == ["sum", "e"]
    np.testing.assert_allclose(found["sum"], [0.5, 0.0])
    np.testing.assert_allclose(found["e"], np.exp([0.5, 0.0]))
    assert list(curves(one, ())) == ["a", "b"]


# -- from runs --------------------------------------------------------------------------------------------------------


@pytest.fixture
def reproduced(toy, tmp_path):  # noqa: F811
    study = write_study(tmp_path / "toy_figure9.py", **FIGURE)
    given = {"seeds": (1, 2), "log": None, "options": {**TOY_QUICK, "max_epochs": 3}}
    dataset = tiny_dataset(modalities=("audio",))
    return reproduce(study, dataset, out=tmp_path / "out", **given), lambda: reproduce(
        study, dataset, out=tmp_path / "out", **given
    )


def test_what_training_records_is_what_is_drawn_and_counted(tmp_path, reproduced):
    found, again = reproduced
    content = json.loads((tmp_path / "out" / "table.json").read_text())["variants"]["A"]
    assert list(content) == ["1", "2"]
    for seed, run in content.items():
        lines = [json.loads(line) for line in (tmp_path / "out/a/steps" / f"{seed}.jsonl").read_text().splitlines()]
        assert [line["steps"] for line in lines] == [3, 1] * 3
        assert list(run["curves"]) == ["L_reg", "exp(both)"]
        assert run["curves"]["L_reg"]["first"] == lines[0]["train"]["multimodal"]
        both = [np.exp(line["train"]["inertia"] + line["train"]["spread"]) for line in lines]
        assert run["curves"]["exp(both)"]["lowest"] == pytest.approx(min(both))
        assert run["curves"]["exp(both)"]["last_epoch"] == pytest.approx((3 * both[4] + both[5]) / 4)
        assert run["steps"] == 12
        assert run["records"].endswith(f"steps/{seed}.jsonl")
    (table,) = found.tables
    assert table.columns[1] == "first 3 steps"
    first = [content[seed]["curves"]["L_reg"]["first"] for seed in ("1", "2")]
    assert table.rows[0][:2] == ("L_reg", f"{np.mean(first):.3f} ± {np.std(first, ddof=1):.3f}")
    # The records that are whole are drawn: one of each epoch.
    panel = found.figures["figure.png"].axes[0]
    mean = panel.get_lines()[-1]
    np.testing.assert_array_equal(mean.get_xdata(), [3, 7, 11])
    assert (tmp_path / "out" / "figure.png").stat().st_size > 1000

    # A file that is not what training wrote.
    path = tmp_path / "out" / "a" / "steps" / "2.jsonl"
    path.write_text('{"epoch": 1}\n')
    with pytest.raises(InputError, match=r"2.jsonl: not the loss terms of every few steps"):
        again()
    path.unlink()
    with pytest.raises(InputError, match=r"2.jsonl: no such file"):
        again()


def test_a_study_that_records_nothing_is_refused_before_anything_is_trained(tmp_path, toy, monkeypatch):  # noqa: F811
    monkeypatch.setattr(studies, "train", None)
    study = write_study(tmp_path / "toy_figure9.py", **{**FIGURE, "variants": ({"name": "A", "method": "toy"},)})
    with pytest.raises(InputError, match="variant A records nothing; expected option record_steps"):
        reproduce(study, tiny_dataset(modalities=("audio",)), out=tmp_path / "out", log=None)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("curve", "message"),
    [
        ({"name": "x"}, "curve 0: no terms"),
        ({"name": "x", "terms": "loss"}, "curve 0: terms is 'loss'; expected tuple"),
    ],
)
def test_a_curve_of_another_form_is_refused(tmp_path, curve, message):
    with pytest.raises(InputError, match=message):
        load_study(write_study(tmp_path / "toy_figure9.py", **{**FIGURE, "curves": (curve,)}))


# -- drawn ------------------------------------------------------------------------------------------------------------


def run(length, names=("one", "cost: 5$ and $x"), best=4):
    step = np.arange(2, 2 * length + 1, 2)
    return Curves(step=step, values={name: np.log(step) + number for number, name in enumerate(names)}, best=best)


def test_the_mean_goes_as_far_as_all_runs_and_each_run_as_far_as_itself():
    figure = figures.loss_curves([run(3), run(5)], title="a title")
    for panel, name in zip(figure.axes, ("one", "cost: 5$ and $x"), strict=True):
        assert panel.get_title() == name
        lengths = [len(line.get_xdata()) for line in panel.get_lines()]
        assert lengths == [2, 3, 2, 5, 3]  # best epoch, run; the same of the second; the mean
    mean = figure.axes[1].get_lines()[-1]
    np.testing.assert_allclose(mean.get_ydata(), np.log([2, 4, 6]) + 1)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "a seed", "mean of 2 seeds", "end of a best epoch",
    ]  # fmt: skip


def test_one_seed_is_one_line():
    figure = figures.loss_curves([run(3, best=None)], title="a title")
    assert [len(panel.get_lines()) for panel in figure.axes] == [1, 1]
    assert figure.legends[0].get_texts()[0].get_text() == "1 seed"


@pytest.mark.parametrize("count", [1, 4, 7])
def test_nothing_is_drawn_outside_the_figure(count):
    title = "MMCL on a dataset: loss terms, means over 5 mini-batches"
    figure = figures.loss_curves([run(9, [f"L_{i}" for i in range(count)])] * 2, title=title)
    figure.draw_without_rendering()
    shown = [panel for panel in figure.axes if panel.axison]
    assert len(shown) == count
    for part in (figure.legends[0], figure._suptitle, *(panel.xaxis.label for panel in shown)):
        box = part.get_window_extent()
        assert min(box.x0, box.y0) >= 0
        assert box.x1 <= figure.bbox.width
        assert box.y1 <= figure.bbox.height
