import json
from dataclasses import replace

import numpy as np
import pytest

from msa_jax.data.subset import take_fraction
from msa_jax.errors import InputError
from msa_jax.report import studies
from msa_jax.report.label_history import agreement, distribution, shown_epochs
from msa_jax.report.studies import reproduce
from tests.report.studies_kit import pretend_to_train, write_study
from tests.tiny import QUICK, tiny_dataset

FIGURE = {"kind": "label_distribution", "columns": None, "variants": ({"name": "Self-MM", "method": "self_mm"},)}
TWO = ({"name": "One", "method": "self_mm"}, {"name": "Other", "method": "self_mm", "options": {"patience": 3}})
CASES = {"kind": "case_table", "columns": None, "variants": FIGURE["variants"]}


def u_labels(dataset, seed, epoch):
    """Known labels: text on its own label after the third epoch, audio always the m-label, vision at the limit."""
    train = dataset.train
    way = np.float32((epoch - 1) / 2 * (1 + seed / 100))
    return {
        "label_t": train.label + way * (train.label_t - train.label),
        "label_a": train.label.copy(),
        "label_v": np.full(len(train), 3.0 if epoch == 3 else 0.0, np.float32),
    }


def at_limit(labels):
    """Share in percent of labels at ±3."""
    return 100 * np.mean(np.abs(labels.astype(np.float64)) >= 3 * (1 - 1e-6))


@pytest.fixture
def dataset():
    return tiny_dataset(human_labels=True)


@pytest.fixture
def reproduced(tmp_path, dataset, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(studies, "train", pretend_to_train(u_labels))
    study = write_study(tmp_path / "toy_figure9.py", **FIGURE)
    return reproduce(study, dataset, seeds=(1, 2), out=tmp_path / "out", log=None)


def test_distribution_of_known_labels():
    u, m = np.array([3.0, -3.0, 1.0, 0.0], np.float32), np.array([3.0, -1.0, 2.0, 0.0], np.float32)
    found = distribution(u, m, ends=(-3.0, 3.0))
    assert found == pytest.approx({"mean": 0.25, "sd": np.std([3, -3, 1, 0]), "at_end": 0.5, "mean_offset": 0.75})


@pytest.mark.parametrize(
    ("ends", "share"), [((1.0, 5.0), 0.75), ((-1.0, 5.0), 0.5), ((-5.0, 5.0), 0.5), ((0.1, 9.0), 0)]
)
def test_labels_are_at_an_end_at_the_lowest_and_at_the_highest_value(ends, share):
    u = np.array([1.0, 5.0, 3.0, 5.0], np.float32)
    assert distribution(u, u, ends=ends)["at_end"] == share
    assert distribution(np.array([0.1], np.float32), np.zeros(1), ends=(0.1, 9.0))["at_end"] == 1


def test_agreement_is_that_of_numpy():
    rng = np.random.default_rng(0)
    m, truth = rng.uniform(-3, 3, (2, 50)).astype(np.float32)
    u = (m + 0.5 * (truth - m) + rng.normal(0, 0.2, 50)).astype(np.float32)
    found = agreement(u, m, truth)
    assert found["offset_corr"] == pytest.approx(np.corrcoef(u - m, truth - m)[0, 1], abs=1e-6)
    assert found["mae"] == pytest.approx(np.abs(u - truth).mean(), abs=1e-6)
    assert found["baseline_mae"] == pytest.approx(np.abs(m - truth).mean(), abs=1e-6)


def test_labels_that_have_not_moved_have_no_correlation():
    m, truth = np.array([1.0, -1.0, 2.0], np.float32), np.array([0.0, 1.0, 2.0], np.float32)
    assert agreement(m, m, truth) == {
        "offset_corr": None,
        "constant_corr": pytest.approx(11 / 14),
        "mae": 1.0,
        "baseline_mae": 1.0,
    }


@pytest.mark.parametrize(
    ("last", "expected"),
    [(1, [1]), (4, [1, 2, 3, 4]), (6, [1, 2, 3, 4, 5, 6]), (20, [1, 2, 3, 6, 11, 20]), (100, [1, 3, 6, 16, 40, 100])],
)
def test_first_and_last_epoch_are_shown_and_early_ones_densely(last, expected):
    assert shown_epochs(last) == expected


def test_numbers_of_every_epoch_are_in_the_json(tmp_path, dataset, reproduced):
    content = json.loads((tmp_path / "out" / "table.json").read_text())["variants"]["Self-MM"]
    assert list(content["seeds"]) == ["1", "2"]
    for seed in (1, 2):
        epochs = content["seeds"][str(seed)]
        assert [numbers["epoch"] for numbers in epochs] == [1, 2, 3]
        for numbers in epochs:
            known = u_labels(dataset, seed, numbers["epoch"])["label_t"]
            assert numbers["text"]["mean"] == pytest.approx(known.mean(dtype=np.float64))
            assert numbers["text"]["mean_offset"] == pytest.approx(np.abs(known - dataset.train.label).mean(), rel=1e-5)
        assert [numbers["vision"]["at_end"] for numbers in epochs] == [0.0, 0.0, 1.0]


def test_agreement_with_true_labels_is_given_with_its_baseline(dataset, reproduced):
    found = reproduced.content["variants"]["Self-MM"]["agreement"]
    label, truth = dataset.train.label, dataset.train.label_t
    baseline = np.abs(label - truth).mean()
    assert found["text"]["mean"]["offset_corr"] == pytest.approx(1, abs=1e-6)
    # u - truth is 1 % and 2 % of the way too far.
    assert found["text"]["mean"]["mae"] == pytest.approx(0.015 * baseline, rel=1e-3)
    assert found["text"]["std"]["mae"] == pytest.approx(0.01 * baseline / np.sqrt(2), rel=1e-3)
    assert found["text"]["mean"]["baseline_mae"] == pytest.approx(baseline, rel=1e-6)
    assert found["audio"]["mean"]["offset_corr"] is None
    table = reproduced.tables[1]
    mae = f"{0.015 * baseline:.3f} ± {0.01 * baseline / np.sqrt(2):.3f}"
    constant = f"{np.corrcoef(-label, truth - label)[0, 1]:.3f}"
    assert table.rows[0] == ("text", "1.000 ± 0.000", constant, mae, f"{baseline:.3f}")
    assert table.rows[1][1] == "-"


@pytest.mark.slow
def test_several_variants_stand_side_by_side_after_the_last_epoch(tmp_path, dataset, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(studies, "train", pretend_to_train(u_labels))
    study = write_study(tmp_path / "toy_figure9.py", **{**FIGURE, "variants": TWO})
    found = reproduce(study, dataset, seeds=(1, 2), out=tmp_path / "out", log=None)
    joint, *alone = found.tables
    assert joint.columns[4:] == ("offset Corr", "of a constant", "MAE of u-label", "MAE of m-label")
    assert [row[:2] for row in joint.rows] == [(v, m) for v in ("One", "Other") for m in ("text", "audio", "vision")]
    label, truth = dataset.train.label, dataset.train.label_t
    baseline = np.abs(label - truth).mean()
    # After the third epoch the text labels are 1 % and 2 % of the way too far; vision stands at the limit.
    offset = f"{1.015 * baseline:.2f} ± {0.01 * baseline / np.sqrt(2):.2f}"
    mae = f"{0.015 * baseline:.3f} ± {0.01 * baseline / np.sqrt(2):.3f}"
    assert (
        joint.rows[0][2] == f"{np.mean([at_limit(u_labels(dataset, seed, 3)['label_t']) for seed in (1, 2)]):.1f} ± 0.0"
    )
    constant = f"{np.corrcoef(-label, truth - label)[0, 1]:.3f}"
    assert joint.rows[0][3:] == (offset, "1.000 ± 0.000", constant, mae, f"{baseline:.3f}")
    assert joint.rows[1][2:5] == (f"{at_limit(label):.1f} ± 0.0", "0.00 ± 0.00", "-")
    assert joint.rows[2][2] == "100.0 ± 0.0"
    assert [table.columns[:2] for table in alone] == [("u-labels of", "epoch")] * 2
    assert [file.name for file in found.files[3:]] == [
        f"figure-{name}.{form}" for name in ("one", "other") for form in ("png", "svg", "pdf")
    ]


def test_variants_without_true_labels_stand_side_by_side_without_them(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    parts = {"one": np.float32(0.5), "other": np.float32(0.25)}  # of the m-label, by the variant's folder

    def pretend(*arguments, out, **named):
        labels = lambda data, seed, epoch: {"label_a": data.train.label * parts[out.name]}  # noqa: E731
        pretend_to_train(labels)(*arguments, out=out, **named)

    monkeypatch.setattr(studies, "train", pretend)
    dataset, study = tiny_dataset(), write_study(tmp_path / "toy_figure9.py", **{**FIGURE, "variants": TWO})
    joint = reproduce(study, dataset, seeds=(1,), out=tmp_path / "out", log=None).tables[0]
    assert joint.columns == ("variant", "u-labels of", "at an end [%]", "mean |u - m|")
    mean = np.abs(dataset.train.label).mean()
    assert joint.rows == [
        ("One", "audio", "0.0", f"{0.5 * mean:.2f}"),
        ("Other", "audio", "0.0", f"{0.75 * mean:.2f}"),
    ]


def test_table_has_the_last_epoch_and_the_m_labels(dataset, reproduced):
    rows = {(row[0], row[1]): row for row in reproduced.tables[0].rows}
    assert rows["m-label", None][2] == f"{dataset.train.label.mean():.2f}".replace("-0.00", "0.00")
    assert rows["vision", "3 (last)"][2:5] == ("3.00 ± 0.00", "0.00 ± 0.00", "100.0 ± 0.0")
    assert [file.name for file in reproduced.files] == [
        *("table.json", "table.md", "table.tex"),
        *("figure.png", "figure.svg", "figure.pdf"),
    ]
    assert all(file.stat().st_size > 200 for file in reproduced.files)


@pytest.mark.slow
def test_runs_of_different_length_are_averaged_where_all_of_them_are(tmp_path, dataset, reproduced):
    (tmp_path / "out" / "self-mm" / "labels" / "2" / "epoch_0003.npz").unlink()
    study = tmp_path / "toy_figure9.py"
    found = reproduce(study, dataset, seeds=(1, 2), out=tmp_path / "out", log=None)
    assert [row[1] for row in found.tables[0].rows if row[0] == "vision"] == ["1", "2", "last"]
    assert "The runs ended after 3, 2 epochs." in found.tables[0].notes[0]


@pytest.mark.parametrize(
    ("options", "ends", "axis"),
    [({}, (1, 5), (1, 5)), ({"label_limit": 4.0}, (-4, 4), (-4, 5)), ({"label_limit": 6.0}, (-6, 6), (-6, 6))],
)
def test_ends_are_those_of_the_range_unless_the_option_sets_them(tmp_path, monkeypatch, options, ends, axis):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(studies, "train", pretend_to_train(lambda data, *_: {"label_a": data.train.label}))
    dataset, study = tiny_dataset(label_range=(1.0, 5.0), metrics="regression"), tmp_path / "toy_figure9.py"
    write_study(study, **FIGURE)
    found = reproduce(study, dataset, seeds=(1,), out=tmp_path / "out", log=None, options=options)
    assert found.content["variants"]["Self-MM"]["ends"] == list(ends)
    (table,) = found.tables
    assert table.columns[4] == "at an end [%]"
    share = np.mean((dataset.train.label <= ends[0]) | (dataset.train.label >= ends[1]))
    assert table.rows[1][4] == f"{100 * share:.1f}"
    assert f"at an end: at {ends[0]} or {ends[1]}." in table.notes[0]
    panel = found.figures["figure.png"].axes[0]
    assert (panel.get_xticks()[0], panel.get_xticks()[-1]) == axis


def test_a_part_of_the_training_samples_is_that_part_again(tmp_path, dataset, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(studies, "train", pretend_to_train(u_labels))
    study = write_study(tmp_path / "toy_figure9.py", **FIGURE)
    options = {"train_fraction": 0.5}
    found = reproduce(study, dataset, seeds=(1, 2), out=tmp_path / "out", log=None, options=options)
    train = take_fraction(dataset, 0.5, seed=0).train
    assert len(train) == 12
    content = found.content["variants"]["Self-MM"]
    assert content["m_label"]["mean"] == pytest.approx(train.label.mean(dtype=np.float64))
    known = u_labels(replace(dataset, train=train), 1, 2)["label_t"]
    assert content["seeds"]["1"][1]["text"]["mean"] == pytest.approx(known.mean(dtype=np.float64))
    assert content["seeds"]["1"][1]["text"]["truth"]["mae"] == pytest.approx(
        np.abs(known - train.label_t).mean(), rel=1e-5
    )


def test_a_missing_or_damaged_record_is_an_error_that_names_it(tmp_path, dataset, reproduced):
    study, folder = tmp_path / "toy_figure9.py", tmp_path / "out" / "self-mm" / "labels" / "1"
    (folder / "epoch_0003.npz").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"epoch_0003.npz: cannot be read, the file is damaged"):
        reproduce(study, dataset, seeds=(1, 2), out=tmp_path / "out", log=None)
    np.savez(folder / "epoch_0003.npz", label_t=np.zeros(3, np.float32))
    with pytest.raises(InputError, match=r"epoch_0003.npz: label_t has shape \[3\]; expected \[24\]"):
        reproduce(study, dataset, seeds=(1, 2), out=tmp_path / "out", log=None)
    (folder / "epoch_0002.npz").unlink()
    with pytest.raises(InputError, match=r"labels/1: no unimodal labels of epoch 2"):
        reproduce(study, dataset, seeds=(1, 2), out=tmp_path / "out", log=None)


def test_matplotlib_is_asked_for_before_anything_is_trained(tmp_path, dataset, monkeypatch):
    monkeypatch.setattr(studies.figures.importlib.util, "find_spec", lambda name: None)
    study = write_study(tmp_path / "toy_figure9.py", **FIGURE)
    with pytest.raises(InputError, match="needs matplotlib"):
        reproduce(study, dataset, out=tmp_path / "out", log=None)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("fraction", [1.0, 0.5])
def test_what_training_records_is_what_figure_and_cases_read(tmp_path, fraction):
    pytest.importorskip("matplotlib")
    dataset = tiny_dataset(modalities=("audio",), human_labels=True)
    options = {**QUICK, "max_epochs": 3, "train_fraction": fraction}
    given = {"seeds": (1, 2), "out": tmp_path / "out", "log": None, "options": options}
    figure = reproduce(write_study(tmp_path / "toy_figure9.py", **FIGURE), dataset, **given)
    epochs = figure.content["variants"]["Self-MM"]["seeds"]["1"]
    assert [list(numbers) for numbers in epochs] == [["epoch", "audio"]] * 3
    assert epochs[0]["audio"]["mean_offset"] == 0  # the first epoch moves no label (eq. 9)
    assert epochs[2]["audio"]["mean_offset"] > 0
    assert (tmp_path / "out" / "figure.png").stat().st_size > 1000

    # The same experiment serves the case table.
    cases = reproduce(write_study(tmp_path / "toy_figure8.py", **CASES), dataset, **given)
    found = cases.content["variants"]["Self-MM"]
    assert found
    with np.load(tmp_path / "out" / "self-mm" / "labels" / "1" / "epoch_0003.npz") as file:
        first = file["label_a"]
    with np.load(tmp_path / "out" / "self-mm" / "labels" / "2" / "epoch_0003.npz") as file:
        second = file["label_a"]
    for case in found:
        row = case["row"]
        assert case["id"] == take_fraction(dataset, fraction, seed=0).train.id[row]
        assert case["u_labels"]["mean"]["audio"] == pytest.approx((first[row] + second[row]) / 2, abs=1e-6)
