"""One run: stages, selection on valid, early stopping, and what is kept of it."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from msa_jax import metrics
from msa_jax.config import Options
from msa_jax.data.batches import epoch_plan
from msa_jax.errors import InputError, TrainingStopped
from msa_jax.train.checkpoint import load_params
from msa_jax.train.results import load_result
from msa_jax.train.selection import selection_value
from tests.tiny import contrary, tiny_dataset, train_toy

pytestmark = pytest.mark.usefixtures("toy")


def lines_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


# -- the value that is selected on ------------------------------------------------------------------------------------

LABEL = np.array([-2.0, -1.0, 0.0, 1.0, 3.0], np.float32)
PREDICTION = np.array([-1.0, -1.0, 0.5, 3.0, 2.75], np.float32)  # errors 1, 0, 0.5, 2, 0.25


def value(prediction: np.ndarray = PREDICTION, **options) -> float:
    valid = metrics.evaluate(prediction, LABEL, kind="mosi")
    return selection_value(prediction, LABEL, valid, Options(**options))


def test_the_loss_is_the_mean_absolute_error():
    assert value() == pytest.approx(3.75 / 5)


def test_the_mean_of_batch_means_counts_a_small_last_batch_as_much_as_the_others():
    want = ((1 + 0) / 2 + (0.5 + 2) / 2 + 0.25 / 1) / 3
    assert value(validation_mean="batches", batch_size=2) == pytest.approx(want)
    assert value(validation_mean="batches", batch_size=5) == value(validation_mean="batches", batch_size=99) == value()


def test_a_metric_that_should_rise_is_negated():
    assert value(selection="Corr") == pytest.approx(-np.corrcoef(PREDICTION, LABEL)[0, 1], rel=1e-6)
    assert value(selection="MAE") == pytest.approx(3.75 / 5)


def test_the_value_can_be_rounded():
    assert value(validation_decimals=1) == 0.8


def test_a_metric_that_is_not_defined_is_the_worst_value():
    with np.errstate(all="ignore"):
        assert value(np.zeros(5, np.float32), selection="Corr") == math.inf


def test_every_epoch_of_every_run_has_an_order_of_its_own(tmp_path, monkeypatch):
    plans = []

    def spied(*arguments, **named):
        plans.append((named["seed"], named["epoch"], epoch_plan(*arguments, **named)))
        return plans[-1][-1]

    monkeypatch.setattr("msa_jax.train.run.epoch_plan", spied)
    train_toy(tmp_path / "run", seeds=(1, 2), options={"stages": 2, "max_epochs": 2})
    assert [seed for seed, _, _ in plans] == [1] * 5 + [2] * 5
    assert [epoch for _, epoch, _ in plans[:5]] == [epoch for _, epoch, _ in plans[5:]]
    assert len({plan.rows.tobytes() for _, _, plan in plans}) == 10


# -- early stopping ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stopped(toy, tmp_path_factory):
    """A run that stops early, and the same run cut off at its best epoch."""
    out = tmp_path_factory.mktemp("stopped")
    dataset = contrary(tiny_dataset(modalities=("audio",)))
    long = train_toy(out / "long", dataset, options={"patience": 3, "max_epochs": 30})
    best = long.runs[0].best_epoch
    return long, train_toy(out / "short", dataset, options={"patience": 3, "max_epochs": best})


def test_a_run_stops_after_as_many_epochs_without_improvement_as_it_has_patience(stopped):
    run = stopped[0].runs[0]
    values = [line["valid"]["MAE"] for line in lines_of(stopped[0].path)]
    assert run.best_epoch == 1 + int(np.argmin(values))
    assert run.epochs == len(values) == run.best_epoch + 3 < 30


def test_the_parameters_of_the_best_epoch_are_kept_and_not_the_last(stopped):
    long, short = stopped
    kept, then = (load_params(one.path / "checkpoints" / "1") for one in (long, short))
    for layer, params in then.items():
        for name, array in params.items():
            np.testing.assert_array_equal(kept[layer][name], array)


def test_all_metrics_are_of_the_best_epoch(stopped):
    long, short = stopped
    assert long.runs[0].valid == lines_of(long.path)[long.runs[0].best_epoch - 1]["valid"]
    assert long.runs[0].valid != lines_of(long.path)[-1]["valid"]
    assert long.runs[0].test == short.runs[0].test


def test_an_improvement_below_min_delta_is_none(tmp_path):
    dataset = tiny_dataset(modalities=("audio",))
    run = train_toy(tmp_path / "run", dataset, options={"min_delta": 1000.0, "patience": 2, "max_epochs": 9}).runs[0]
    assert (run.best_epoch, run.epochs) == (1, 3)


def test_a_run_can_be_selected_by_a_metric(tmp_path):
    dataset = tiny_dataset(modalities=("audio",))
    experiment = train_toy(tmp_path / "run", dataset, options={"selection": "Corr", "max_epochs": 6, "min_delta": 0.0})
    values = [line["valid"]["Corr"] for line in lines_of(experiment.path)]
    assert values[experiment.runs[0].best_epoch - 1] == max(values)
    assert len(set(values)) > 1


def test_a_run_in_which_the_metric_is_never_defined_selects_nothing(tmp_path):
    dataset = tiny_dataset(modalities=("audio",), rows=(24, 1, 8))  # one row has no correlation
    with pytest.raises(TrainingStopped, match="run 1: Corr on valid was not defined in any epoch"):
        train_toy(tmp_path / "run", dataset, options={"selection": "Corr", "max_epochs": 2})
    assert not (tmp_path / "run" / "result.json").exists()


# -- stages -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def staged(toy, tmp_path_factory):
    return train_toy(tmp_path_factory.mktemp("staged") / "run", options={"stages": 2, "max_epochs": 4})


def test_stages_follow_each_other_and_epochs_are_counted_over_both(staged):
    lines = lines_of(staged.path)
    assert [(line["epoch"], line["stage"]) for line in lines] == [
        (1, "encoder"), (2, "encoder"), (3, "encoder"), (4, "score"), (5, "score"), (6, "score"), (7, "score"),
    ]  # fmt: skip
    assert staged.runs[0].epochs == 7
    assert staged.runs[0].best_epoch > 3


def test_a_stage_begins_with_the_best_parameters_of_the_one_before(tmp_path):
    dataset = contrary(tiny_dataset(modalities=("audio",)))  # every epoch is worse than the one before
    options = {"stages": 2, "max_epochs": 4, "patience": 1}
    two = train_toy(tmp_path / "two", dataset, options=options)
    one = train_toy(tmp_path / "one", dataset, options={**options, "encoder_epochs": 1})
    assert [line["stage"] for line in lines_of(two.path)] == ["encoder", "encoder", "score", "score"]
    assert [line["stage"] for line in lines_of(one.path)] == ["encoder", "score", "score"]
    # The encoder does not move in the second stage: it is that of the first epoch in both.
    kept, want = (load_params(each.path / "checkpoints" / "1") for each in (two, one))
    np.testing.assert_array_equal(kept["audio_encoder"]["kernel"], want["audio_encoder"]["kernel"])
    assert not np.array_equal(kept["score"]["kernel"], want["score"]["kernel"])


# -- what is kept -----------------------------------------------------------------------------------------------------


def test_a_finished_run_reads_back_as_it_was(staged):
    kept = load_result(staged.path / "checkpoints" / "1")
    run = staged.runs[0]
    assert (kept.seed, kept.best_epoch, kept.epochs, kept.valid, kept.test) == (
        run.seed, run.best_epoch, run.epochs, run.valid, run.test,
    )  # fmt: skip
    for split, heads in run.scores.items():
        assert kept.scores[split].keys() == heads.keys()
        for head, scores in heads.items():
            np.testing.assert_array_equal(kept.scores[split][head], scores)


def test_the_running_state_is_removed_at_the_end(staged):
    assert not (staged.path / "checkpoints" / "1" / "state").exists()


# -- losses that are not finite ---------------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_stops_with_run_epoch_step_and_term(tmp_path):
    options = {"poison_epoch": 2, "poison_step": 6, "batch_size": 5}  # 5 batches an epoch: the second of epoch 2
    with pytest.raises(TrainingStopped, match="run 7, epoch 2, step 2 of 5: loss term noise is not finite"):
        train_toy(tmp_path / "run", seeds=(7,), options={**options, "checkpoint_epochs": 1})
    assert issubclass(TrainingStopped, InputError)
    assert not (tmp_path / "run" / "result.json").exists()
    with pytest.raises(TrainingStopped, match="run 7, epoch 2, step 2"):  # the checkpoint of epoch 1 is there
        train_toy(tmp_path / "run", seeds=(7,), options={**options, "checkpoint_epochs": 1})
    assert [line["epoch"] for line in lines_of(tmp_path / "run")] == [1]
