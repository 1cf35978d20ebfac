"""Runs side by side: each as if it were alone, and interrupted as if it were not."""

import json
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from msa_jax import config
from msa_jax.errors import InputError, TrainingStopped
from msa_jax.train.experiment import Experiment
from msa_jax.train.mesh import ONE
from msa_jax.train.run import _side_by_side
from tests.tiny import contrary, tiny_dataset, train_quick, train_toy
from tests.train.test_resume import interrupt_and_resume, outcome, toy_experiment

pytestmark = pytest.mark.usefixtures("toy")

AUDIO = tiny_dataset(modalities=("audio",))
LONG = {"max_epochs": 14, "patience": 2, "learning_rate.audio": 0.1, "learning_rate.other": 0.1}


def lines_of(folder) -> dict[tuple[int, int], dict]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {(line["seed"], line["epoch"]): line for line in lines}


@pytest.fixture(scope="module")
def alone(toy, tmp_path_factory) -> Experiment:
    """Five runs, one after the other."""
    options = {**LONG, "record_steps": 2, "runs_per_program": 1}
    return train_toy(tmp_path_factory.mktemp("alone") / "run", AUDIO, seeds=(1, 2, 3, 4, 5), options=options)


@pytest.mark.parametrize("together", [2, *(pytest.param(count, marks=pytest.mark.slow) for count in (3, 4)), 5])
def test_runs_side_by_side_are_runs_alone(tmp_path, alone, together):
    seeds, options = (1, 2, 3, 4, 5), {**LONG, "record_steps": 2, "runs_per_program": together}
    joined = train_toy(tmp_path / "joined", AUDIO, seeds=seeds, options=options, record_labels=True)
    assert len({run.epochs for run in alone.runs}) > 1, "they should stop at different epochs"
    for one, other in zip(alone.runs, joined.runs, strict=True):
        assert (one.seed, one.epochs, one.best_epoch) == (other.seed, other.epochs, other.best_epoch)
        for split in ("valid", "test"):
            np.testing.assert_allclose(one.scores[split]["prediction"], other.scores[split]["prediction"], atol=1e-5)
    first, second = lines_of(alone.path), lines_of(joined.path)
    assert first.keys() == second.keys()
    for key, line in first.items():
        assert line["train"] == pytest.approx(second[key]["train"], abs=1e-5)
        assert line["weights"] == pytest.approx(second[key]["weights"], abs=1e-5)
    for seed in seeds:
        steps = [(path / "steps" / f"{seed}.jsonl").read_text().splitlines() for path in (alone.path, joined.path)]
        for one, other in zip(*(map(json.loads, lines) for lines in steps), strict=True):
            assert one.pop("run") == other.pop("run")
            assert one.pop("train") == pytest.approx(other.pop("train"), abs=1e-5)
            assert one == other
        with (
            np.load(alone.path / "labels" / f"{seed}.npz") as kept,
            np.load(joined.path / "labels" / f"{seed}.npz") as own,
        ):
            np.testing.assert_allclose(kept["last"], own["last"], atol=1e-5)
        epochs = sorted((joined.path / "labels" / str(seed)).iterdir())
        assert len(epochs) == alone.runs[seeds.index(seed)].epochs


@pytest.mark.slow
def test_self_mm_side_by_side_is_self_mm_alone(tmp_path):
    dataset, options = tiny_dataset(), {"finetune_text": False, "text_encoder": "features"}
    dataset = tiny_dataset(text="text")
    runs = [
        train_quick(
            "self_mm", dataset, tmp_path / str(count), seeds=(1, 2), options={**options, "runs_per_program": count}
        )
        for count in (1, 2)
    ]
    for one, other in zip(*(experiment.runs for experiment in runs), strict=True):
        for head, scores in one.scores["test"].items():
            np.testing.assert_allclose(scores, other.scores["test"][head], atol=2e-5)


def three_of_four(folder: Path):
    return toy_experiment(folder, seeds=(1, 2, 3, 4), **LONG, runs_per_program=3, record_steps=2)


@pytest.fixture(scope="module")
def straight(toy, tmp_path_factory) -> dict:
    """The outcome of four runs, three of them side by side, that nothing interrupts."""
    folder = tmp_path_factory.mktemp("straight") / "run"
    three_of_four(folder)(None)
    return outcome(folder)


@pytest.mark.parametrize("at", [[1], pytest.param([3], marks=pytest.mark.slow), [2, 4], [12]], ids=str)
def test_runs_side_by_side_that_are_interrupted_end_as_if_they_were_not(tmp_path, straight, at):
    assert interrupt_and_resume(tmp_path / "run", at, three_of_four(tmp_path / "run")) == straight
    left = {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()}
    assert left == {"1", "2", "3", "4"}  # nothing of runs side by side stays


def test_a_loss_that_is_not_finite_names_its_run(tmp_path):
    options = {"runs_per_program": 2, "learning_rate.audio": 1e38, "learning_rate.other": 1e38}
    with pytest.raises(TrainingStopped, match=r"run [12], epoch 1, step 2 of 4: loss term "):
        train_toy(tmp_path / "run", AUDIO, seeds=(1, 2), options=options)


def test_early_stopping_of_each(tmp_path):
    options = {"patience": 3, "max_epochs": 9, "runs_per_program": 2}
    experiment = train_toy(tmp_path / "run", contrary(AUDIO), seeds=(3, 4), options=options)
    assert [(run.best_epoch, run.epochs) for run in experiment.runs] == [(1, 4)] * 2


@pytest.mark.parametrize(
    ("ended", "places"),
    [
        ([0, 0, 0, 0], [0, 1, 2, 3]),
        ([0, 1, 0, 0], [0, 2, 3, 1]),
        ([0, 1, 0, 1], [0, 2]),
        ([1, 1, 0, 1], [2]),
        ([0, 1, 0, 1, 0], [0, 2, 4, 1, 3]),
        ([1, 1, 0, 1, 0], [2, 4]),
        ([0], [0]),
    ],
)
def test_few_sizes_are_compiled(ended, places):
    assert _side_by_side(np.array(ended, bool)).tolist() == places


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"stages": 2}, "trains in 2 stages"), ({"resident": "no"}, "does not stay on the device")],
)
def test_what_cannot_go_side_by_side_says_why_or_goes_alone(tmp_path, options, reason):
    with pytest.raises(InputError, match=f"option runs_per_program is 2: .*{reason}"):
        train_toy(tmp_path / "run", AUDIO, seeds=(1, 2), options={**options, "runs_per_program": 2})
    train_toy(tmp_path / "run", AUDIO, seeds=(1, 2), options=options)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["runs_per_program"] == 1


def test_as_many_as_there_are_devices_by_default(tmp_path):
    train_toy(tmp_path / "run", AUDIO, seeds=(1, 2, 3))
    found = json.loads((tmp_path / "run" / "config.json").read_text())
    assert found["runs_per_program"] == min(3, len(jax.local_devices()))
    assert found["options"]["runs_per_program"] == "auto"


def test_the_number_must_be_one(toy):
    for value in (0, -1, "many"):
        with pytest.raises(InputError, match="option runs_per_program is"):
            config.override(toy.options(), {"runs_per_program": value})
    assert config.override(toy.options(), {"runs_per_program": "3"}).runs_per_program == 3
    assert replace(toy.options(), runs_per_program="auto").runs_per_program == "auto"


def test_runs_are_dealt_evenly():
    devices = len(jax.local_devices())
    assert devices > 1, "the tests need two devices"
    assert ONE.mesh(1) is None
    assert ONE.mesh(devices).size == devices
    assert ONE.mesh(2 * devices).size == devices
