"""A part of a dataset: a fraction of the training split, or without modalities; and that nothing else changes."""

import json
from dataclasses import replace

import numpy as np
import pytest

from msa_jax.data.subset import take_fraction, without
from msa_jax.errors import InputError
from msa_jax.methods import METHODS
from msa_jax.report.evaluation import evaluate
from msa_jax.train.experiment import resolve
from msa_jax.train.predictor import Predictor
from tests.tiny import tiny_dataset, toy, train_quick, train_toy  # noqa: F401 - a fixture

DATASET = tiny_dataset(modalities=("audio",), rows=(103, 4, 4))


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5, 0.8, 0.99, 1e-6])
def test_the_number_of_rows_is_rounded_up(fraction):
    part = take_fraction(DATASET, fraction, seed=0)
    assert len(part.train) == int(np.ceil(fraction * 103))
    assert part.valid is DATASET.valid
    assert part.test is DATASET.test


def test_a_fraction_of_a_whole_number_of_rows_takes_that_number():
    dataset = tiny_dataset(modalities=("audio",), rows=(100, 4, 4))
    for percent in range(1, 100):
        assert len(take_fraction(dataset, percent / 100, seed=0).train) == percent
    assert len(take_fraction(dataset, 1e-12, seed=0).train) == 1


def test_rows_keep_their_order_and_their_columns():
    part = take_fraction(DATASET, 0.3, seed=0).train
    place = {name: row for row, name in enumerate(DATASET.train.id.tolist())}
    rows = [place[name] for name in part.id.tolist()]
    assert rows == sorted(set(rows))
    for name, column in part.columns().items():
        np.testing.assert_array_equal(column, DATASET.train.columns()[name][rows])


@pytest.mark.parametrize(("low", "high"), [(-3, 3), (-1, 1), (0, 100)])
def test_every_region_of_the_labels_is_represented(low, high):
    rng = np.random.default_rng(1)
    labels = np.sort(rng.beta(0.5, 2, 200) * (high - low) + low).astype(np.float32)
    dataset = tiny_dataset(modalities=("audio",), rows=(200, 4, 4))
    dataset = replace(dataset, train=replace(dataset.train, label=labels))
    kept = take_fraction(dataset, 0.3, seed=2).train.label
    for first in range(0, 200, 10):  # three of every ten that follow each other
        block = labels[first : first + 10]
        assert 2 <= np.isin(kept, block).sum() <= 4
    assert len(kept) == 60


def test_a_smaller_fraction_is_part_of_a_larger_one():
    kept = [set(take_fraction(DATASET, fraction, seed=3).train.id.tolist()) for fraction in (0.1, 0.35, 0.8, 1)]
    assert kept[0] < kept[1] < kept[2] < kept[3]


def test_another_seed_takes_other_rows_and_the_same_seed_the_same():
    one, same, other = (take_fraction(DATASET, 0.4, seed=seed).train.id.tolist() for seed in (0, 0, 1))
    assert one == same
    assert one != other


@pytest.mark.parametrize("fraction", [0, -0.5, 1.5])
def test_what_is_no_fraction_is_refused(fraction):
    with pytest.raises(InputError, match="option train_fraction is"):
        resolve("self_mm", train_fraction=fraction)


def test_every_method_can_be_trained_on_a_fraction():
    assert all(hasattr(method.options(), "train_fraction") for method in METHODS.values())


@pytest.mark.slow
def test_an_experiment_says_what_it_was_trained_on(tmp_path):
    dataset = tiny_dataset(modalities=("audio",), rows=(20, 4, 4))
    options = {"train_fraction": 0.5, "max_epochs": 1}
    run = train_quick("self_mm", dataset, tmp_path / "run", options=options)
    assert json.loads((run.path / "config.json").read_text())["inputs"]["rows"] == 10
    with np.load(run.path / "labels" / "1.npz") as labels:
        assert labels["id"].tolist() == take_fraction(dataset, 0.5, seed=0).train.id.tolist()
    assert (run.path / "predictions" / "test.csv").read_text().count("\n") == 5


# -- without a modality -----------------------------------------------------------------------------------------------

TWO = tiny_dataset(modalities=("audio", "vision"), human_labels=True)


def test_a_dataset_without_a_modality_keeps_all_other_columns():
    rest = without(TWO, ["vision"])
    assert not rest.has("vision")
    for name, split in rest.splits().items():
        before = TWO.splits()[name].columns()
        assert before.keys() - split.columns().keys() == {"vision", "vision_length"}
        assert all(split.columns()[column] is before[column] for column in split.columns())
    assert without(TWO, ["text"]) is TWO


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["audio", "vision"], "option leave_out leaves nothing, since audio, vision is all there is"),
        (["sound"], "unknown modality 'sound'; expected one of text, audio, vision"),
    ],
)
def test_what_cannot_be_left_out_is_refused(names, message):
    with pytest.raises(InputError, match=message):
        without(TWO, names)


@pytest.mark.slow
@pytest.mark.usefixtures("toy")
def test_an_experiment_without_a_modality_is_one_on_a_dataset_that_lacks_it(tmp_path):
    left_out = train_toy(tmp_path / "left_out", TWO, options={"leave_out": "vision"})
    lacking = train_toy(tmp_path / "lacking", without(TWO, ["vision"]))
    one, other = (run.path / "predictions" / "test.csv" for run in (left_out, lacking))
    assert one.read_bytes() == other.read_bytes()
    assert Predictor.load(left_out.path).inputs.modalities == ("audio",)
    found = evaluate(left_out.path, data=TWO)
    assert not found.differences
    assert found.mean == evaluate(left_out.path, data=without(TWO, ["vision"])).mean


def test_leaving_everything_out_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(InputError, match="leaves nothing"):
        train_quick("self_mm", TWO, tmp_path / "run", options={"leave_out": "audio,vision"})
    assert not (tmp_path / "run").exists()
