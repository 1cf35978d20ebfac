"""Runs side by side: each as if it were alone, and interrupted as if it were not."""

import math
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from msa_jax import config
from msa_jax.errors import InputError, TrainingStopped
from msa_jax.train import processes
from msa_jax.train.epoch_trainer import EpochTrainer, side_by_side
from msa_jax.train.experiment import Experiment
from msa_jax.train.runs import ONE, Layout, Shared
from tests.tiny import TOY, TOY_QUICK, tiny_dataset, train_quick, train_toy
from tests.train.kit import AUDIO, devices, interrupt_and_resume, lines_of, outcome, run_of, runner_of, toy_experiment

pytestmark = pytest.mark.usefixtures("toy")

SEEDS = (1, 2, 3, 4, 5)
LONG = {"max_epochs": 14, "patience": 2, "learning_rate.audio": 0.1, "learning_rate.other": 0.1}


def by_epoch(folder: Path) -> dict[tuple[int, int], dict]:
    return {(line["seed"], line["epoch"]): line for line in lines_of(folder)}


def five(folder: Path, together: int):
    return toy_experiment(folder, seeds=SEEDS, **LONG, runs_per_program=together, record_steps=2)


@pytest.fixture(scope="module")
def alone(toy, tmp_path_factory) -> Experiment:
    """Five runs, one after the other."""
    return five(tmp_path_factory.mktemp("alone") / "run", 1)(None)


@pytest.fixture(scope="module")
def joined(toy, tmp_path_factory) -> Experiment:
    """The same, three of them side by side and then two."""
    return five(tmp_path_factory.mktemp("joined") / "run", 3)(None)


def assert_same(alone: Experiment, joined: Experiment) -> None:
    assert len({run.epochs for run in alone.runs}) > 1, "they should stop at different epochs"
    for one, other in zip(alone.runs, joined.runs, strict=True):
        assert (one.seed, one.epochs, one.best_epoch) == (other.seed, other.epochs, other.best_epoch)
        for split in ("valid", "test"):
            np.testing.assert_allclose(one.scores[split]["prediction"], other.scores[split]["prediction"], atol=1e-5)
    first, second = by_epoch(alone.path), by_epoch(joined.path)
    assert first.keys() == second.keys()
    for key, line in first.items():
        assert line["train"] == pytest.approx(second[key]["train"], abs=1e-5)
        assert line["weights"] == pytest.approx(second[key]["weights"], abs=1e-5)
    for seed in SEEDS:
        steps = [lines_of(path / "steps" / f"{seed}.jsonl") for path in (alone.path, joined.path)]
        for one, other in zip(*steps, strict=True):
            assert one.pop("run") == other.pop("run")
            assert one.pop("train") == pytest.approx(other.pop("train"), abs=1e-5)
            assert one == other
        with (
            np.load(alone.path / "labels" / f"{seed}.npz") as kept,
            np.load(joined.path / "labels" / f"{seed}.npz") as own,
        ):
            np.testing.assert_allclose(kept["last"], own["last"], atol=1e-5)
        epochs = sorted((joined.path / "labels" / str(seed)).iterdir())
        assert len(epochs) == alone.runs[SEEDS.index(seed)].epochs


@pytest.mark.slow
def test_runs_side_by_side_are_runs_alone(alone, joined):
    assert_same(alone, joined)


@pytest.mark.slow
@pytest.mark.parametrize("together", [2, 4, 5])
def test_any_number_of_runs_side_by_side_are_runs_alone(tmp_path, alone, together):
    assert_same(alone, five(tmp_path / "joined", together)(None))


@pytest.mark.slow
def test_self_mm_side_by_side_is_self_mm_alone(tmp_path):
    dataset, options = tiny_dataset(text="text"), {"finetune_text": False, "text_encoder": "features"}
    runs = [
        train_quick(
            "self_mm", dataset, tmp_path / str(count), seeds=(1, 2), options={**options, "runs_per_program": count}
        )
        for count in (1, 2)
    ]
    for one, other in zip(*(experiment.runs for experiment in runs), strict=True):
        for head, scores in one.scores["test"].items():
            np.testing.assert_allclose(scores, other.scores["test"][head], atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("at", [[2, 4], [1], [12]], ids=str)
def test_runs_side_by_side_that_are_interrupted_end_as_if_they_were_not(tmp_path, joined, at):
    begin = five(tmp_path / "run", 3)
    assert interrupt_and_resume(tmp_path / "run", at, begin) == outcome(joined.path)
    left = {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()}
    assert left == {"1", "2", "3", "4", "5"}  # nothing of runs side by side stays


def test_a_loss_that_is_not_finite_names_its_run(tmp_path):
    options = {"runs_per_program": 2, "learning_rate.audio": 1e38, "learning_rate.other": 1e38}
    with pytest.raises(TrainingStopped, match=r"run [12], epoch 1, step 2 of 4: loss term "):
        train_toy(tmp_path / "run", AUDIO, seeds=(1, 2), options=options)


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
    assert side_by_side(np.array(ended, bool), ONE).tolist() == places


@pytest.mark.parametrize("order", [[3, 0, 1, 2], [2, 1]])
def test_states_go_to_the_runs_that_go_on_and_back_without_lying_whole_on_a_device(monkeypatch, order):
    layout, places = Layout(), np.array(order)
    trainer = EpochTrainer(None, layout, None)
    monkeypatch.setattr(Layout, "replicate", lambda *given: pytest.fail("whole on every device"))
    inits, keys = runner_of(TOY, AUDIO, TOY_QUICK).inits, jax.random.split(jax.random.key(0), 4)
    states = inits.stages[0].start([inits.initial(run_of(1))] * 4, list(keys)).replace(rate=np.arange(4.0))
    states = layout.shard_runs(states, 4)
    part = trainer._picked(states, places, 4)
    assert part.rate.tolist() == order
    for leaf in (part.rate, part.params["score/kernel"]):
        assert {shard.data.shape[0] for shard in leaf.addressable_shards} == {len(order) // 2}
    # Those of two runs that go on; the others were computed along.
    back = trainer._put_back(states, places[:2], part.replace(rate=part.rate + 10), 4)
    expected = np.arange(4.0)
    expected[order[:2]] += 10
    np.testing.assert_array_equal(back.rate, expected)
    assert jax.random.key_data(back.key).tolist() == jax.random.key_data(keys).tolist()
    assert {shard.data.shape[0] for shard in back.params["score/kernel"].addressable_shards} == {2}


def test_no_device_gets_more_runs_since_others_have_ended():
    layout, ended = Layout(1, devices(5)), np.arange(15) >= 7  # three on each device; seven would lie on one
    assert len(side_by_side(ended, layout)) == 15
    assert len(side_by_side(np.arange(15) >= 3, layout)) == 3


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"stages": 2}, "trains in 2 stages"), ({"resident": "no"}, "does not stay on the device")],
)
def test_what_cannot_go_side_by_side_says_why_or_goes_alone(options, reason):
    assert runner_of(TOY, AUDIO, {**TOY_QUICK, **options}).together(2) == 1
    with pytest.raises(InputError, match=f"option runs_per_program is 2: .*{reason}"):
        runner_of(TOY, AUDIO, {**TOY_QUICK, **options, "runs_per_program": 2}).together(2)


def test_as_many_as_there_are_devices_by_default():
    runner = runner_of(TOY, AUDIO, TOY_QUICK)
    three = runner_of(TOY, AUDIO, {**TOY_QUICK, "runs_per_program": 3})
    assert runner.options.runs_per_program == "auto"
    for runs in (1, 2, 3):
        assert runner.together(runs) == min(runs, len(jax.local_devices()))
        assert three.together(runs) == runs


def test_the_number_must_be_one(toy):
    for value in (0, -1, "many"):
        with pytest.raises(InputError, match="option runs_per_program is"):
            config.override(toy.options(), {"runs_per_program": value})
    assert config.override(toy.options(), {"runs_per_program": "3"}).runs_per_program == 3
    assert replace(toy.options(), runs_per_program="auto").runs_per_program == "auto"


def test_runs_are_dealt_evenly():
    count = len(jax.local_devices())
    assert count > 1, "the tests need two devices"
    assert ONE.mesh(1) is None
    assert ONE.mesh(count).size == count
    assert ONE.mesh(2 * count).size == count


@pytest.mark.parametrize(
    "counts", [*((slots,) for slots in range(2, 9)), (1, 1), (2, 2), (4, 4), (2, 2, 2, 2)], ids=str
)
def test_no_device_gets_more_runs_than_it_has_room_for(counts):
    layout = Layout(1, devices(*counts))
    for room in (1, 2, 3):
        for runs in range(1, 17):
            together = layout.together(runs, room=room, most=layout.run_slots * room)
            for group in {together, runs % together} - {0}:
                mesh = layout.mesh(group)
                assert group / (1 if mesh is None else mesh.shape["run"]) <= room, (runs, together)


@pytest.mark.parametrize(
    ("slots", "room", "runs", "together"),
    [(2, 9, 5, 4), (3, 9, 5, 3), (4, 9, 5, 4), (4, 9, 7, 4), (2, 3, 15, 6), (1, 9, 5, 5), (1, 2, 5, 2), (8, 1, 5, 5)],
)
def test_runs_that_the_devices_do_not_divide_do_not_all_go_to_one(slots, room, runs, together):
    assert Layout(1, devices(slots)).together(runs, room=room, most=slots * room) == together


def test_processes_must_have_as_many_devices_each():
    Layout(2, devices(2, 2)).check()
    with pytest.raises(InputError, match="the processes have 4, 2 devices; expected the same number in each"):
        Layout(1, devices(4, 2)).check()


def test_a_host_of_several_that_has_not_met_the_others_says_so(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 4)
    with pytest.raises(InputError, match=r"one of 4 .* with --distributed"):
        Layout(1, devices(4)).check()
    monkeypatch.setattr(processes, "count", lambda: 4)
    Layout(1, devices(4)).check()


def test_what_is_read_by_two_numbers_of_runs_in_turn_is_put_on_the_devices_once_for_each():
    placed = []
    shared = Shared("tree", lambda tree, runs: placed.append(runs) or (tree, runs), kept=2)
    for runs in (4, 2, 4, 2, 4, 1, 4, 2):
        assert shared.on(runs) == ("tree", runs)
    assert placed == [4, 2, 1, 2]


@pytest.mark.parametrize(
    ("windows", "seconds", "step"),
    [(400, math.inf, 20), (400, 1.0, 20), (400, 0.01, 50), (400, 1e-4, 400), (400, 0.0, 400), (3, math.inf, 1)],
)
def test_a_bar_moves_every_half_second_or_twenty_times_an_epoch(windows, seconds, step):
    """Each move waits for the device, so that a fast epoch is not cut into many programs."""
    trainer = EpochTrainer(None, None, None)
    phase = object()
    trainer._window_seconds[id(phase)] = seconds
    assert trainer._step(phase, windows) == step
    assert trainer._step(object(), windows) == max(1, windows // 20)  # of which nothing is known yet
