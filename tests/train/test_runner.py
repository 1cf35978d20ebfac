"""One run: selection on valid, early stopping, slower rates, and what is kept of it."""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.errors import InputError, OutOfMemory, TrainingStopped
from msa_jax.methods import METHODS
from msa_jax.methods.protocol import one_stage
from msa_jax.train import checkpoint, device_data, processes
from msa_jax.train import runner as runner_module
from msa_jax.train.checkpoint import StageInit, load_stage
from msa_jax.train.epoch_trainer import check_finite
from msa_jax.train.evaluate import Scorer
from msa_jax.train.experiment import resume, train
from msa_jax.train.experiment_dir import Logs, MetricsFile, Run, load_result
from msa_jax.train.in_parts import train_in_parts
from msa_jax.train.memory import out_of_memory_message
from msa_jax.train.report import Report
from msa_jax.train.runs import Layout
from msa_jax.train.settings import RunConfig
from msa_jax.train.step import Measured
from tests.tiny import QUICK, TOY, TOY_QUICK, contrary, tiny_dataset, train_toy
from tests.train.kit import (
    AUDIO,
    Interrupting,
    devices,
    kept_params,
    lines_of,
    registered,
    room_for,
    run_of,
    runner_of,
    seen_plans,
)

pytestmark = pytest.mark.usefixtures("toy")


# -- early stopping ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stopped(toy, tmp_path_factory):
    """A run that stops early, and the same run cut off at its best epoch."""
    out, dataset = tmp_path_factory.mktemp("stopped"), contrary(AUDIO)
    long = train_toy(out / "long", dataset, options={"patience": 3, "max_epochs": 30})
    best = long.runs[0].best_epoch
    return long, train_toy(out / "short", dataset, options={"patience": 3, "max_epochs": best})


def test_a_run_stops_after_as_many_epochs_without_improvement_as_it_has_patience(stopped):
    run = stopped[0].runs[0]
    values = [line["valid"]["MAE"] for line in lines_of(stopped[0].path)]
    assert run.best_epoch == 1 + int(np.argmin(values))
    assert run.epochs == len(values) == run.best_epoch + 3 < 30


def test_the_parameters_of_the_best_epoch_are_kept_and_not_the_last(stopped):
    kept, then = (kept_params(one.path) for one in stopped)
    for path, array in then.items():
        np.testing.assert_array_equal(kept[path], array)


def test_all_metrics_are_of_the_best_epoch(stopped):
    long, short = stopped
    assert long.runs[0].valid == lines_of(long.path)[long.runs[0].best_epoch - 1]["valid"]
    assert long.runs[0].valid != lines_of(long.path)[-1]["valid"]
    assert long.runs[0].test == short.runs[0].test


def test_what_the_first_process_measures_is_judged_in_all(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "of_primary", lambda values: 0 * values + next(told) if values.ndim else values)
    told = iter((3.0, 1.0, 2.0))
    options = {"max_epochs": 3}
    assert train_toy(tmp_path / "run", AUDIO, options=options).runs[0].best_epoch == 2


def test_the_plateau_schedule_slows_a_run_that_does_not_improve(tmp_path):
    options = {"schedule": "plateau", "plateau_patience": 0, "plateau_factor": 1e-9, "max_epochs": 4}
    train_toy(tmp_path / "run", contrary(AUDIO), options=options)
    values = [line["valid"]["MAE"] for line in lines_of(tmp_path / "run")]
    assert values[0] < values[1] == pytest.approx(values[2], abs=1e-6)  # the second was no better, and then it stands
    assert values[2] == pytest.approx(values[3], abs=1e-6)


# -- selection --------------------------------------------------------------------------------------------------------


def test_a_run_can_be_selected_by_a_metric(tmp_path):
    experiment = train_toy(tmp_path / "run", AUDIO, options={"selection": "Corr", "max_epochs": 6, "min_delta": 0.0})
    values = [line["valid"]["Corr"] for line in lines_of(experiment.path)]
    assert values[experiment.runs[0].best_epoch - 1] == max(values)
    assert len(set(values)) > 1


def _terms(step, options, inputs):
    error = jnp.abs(step.outputs["prediction"] - step.batch["label"])
    return {"error": error, "contrary": -error}, step.memory


def terms(name: str):
    """The toy method with two terms that may select: the error, and what falls when it rises."""
    stages = one_stage(_terms, weights=lambda *arguments: {"contrary": 0.0})
    return replace(TOY, name=name, stages=stages, valid_terms=("loss", "error", "contrary"))


@pytest.mark.parametrize(
    ("term", "best"),
    [
        pytest.param("error", np.argmin, marks=pytest.mark.slow),
        pytest.param("loss", np.argmin),
        pytest.param("contrary", np.argmax),
    ],
)
def test_a_run_can_be_selected_by_a_loss_term_on_valid(tmp_path, term, best):
    with registered(terms("terms")):
        options = {"selection": f"term.{term}", "min_delta": 0.0, "evaluation_batch_size": 3}
        experiment = train_toy(tmp_path / "run", AUDIO, method="terms", options=options)
    values = [line["valid"]["MAE"] for line in lines_of(experiment.path)]
    assert experiment.runs[0].best_epoch == 1 + int(best(values))
    assert len(set(values)) > 1


def test_a_loss_term_that_selects_is_weighed_by_the_epoch_and_the_updates_that_it_follows(tmp_path, monkeypatch):
    def one(step, options, inputs):
        minus = jnp.full_like(step.outputs["prediction"], -1.0)
        return {"epoch": minus, "step": minus}, step.memory

    stages = one_stage(one, weights=lambda options, inputs, memory, clock: {"epoch": clock.epoch, "step": clock.step})
    values, term = [], Scorer.term
    monkeypatch.setattr(Scorer, "term", lambda *args, **named: values.append(term(*args, **named)) or values[-1])
    with registered(replace(TOY, name="clocked", stages=stages, valid_terms=("loss",))):
        options = {"selection": "term.loss", "max_epochs": 3, "runs_per_program": 2}
        experiment = train_toy(tmp_path / "run", AUDIO, method="clocked", seeds=(1, 2), options=options)
    np.testing.assert_array_equal(values, [[-1 - 4] * 2, [-2 - 8] * 2, [-3 - 12] * 2])  # four mini-batches an epoch
    assert [run.best_epoch for run in experiment.runs] == [3, 3]


def test_a_run_in_which_the_metric_is_never_defined_selects_nothing(tmp_path):
    dataset = tiny_dataset(modalities=("audio",), rows=(24, 1, 8))  # one row has no correlation
    with pytest.raises(TrainingStopped, match="run 1: Corr on valid was not defined in any epoch"):
        train_toy(tmp_path / "run", dataset, options={"selection": "Corr", "max_epochs": 2})
    assert not (tmp_path / "run" / "result.json").exists()


# -- stages -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def staged_and_plans(toy, tmp_path_factory):
    """Two runs of two stages, one after the other, and the plans of their epochs."""
    options = {"stages": 2, "max_epochs": 4}
    with seen_plans() as plans:
        done = train_toy(tmp_path_factory.mktemp("staged") / "run", AUDIO, seeds=(1, 2), options=options)
    return done, plans


@pytest.fixture(scope="module")
def staged(staged_and_plans):
    return staged_and_plans[0]


@pytest.mark.slow
def test_every_epoch_of_every_run_has_an_order_of_its_own(staged_and_plans):
    plans = staged_and_plans[1]
    assert [seed for seed, _, _ in plans] == [1] * 7 + [2] * 7
    assert [epoch for _, epoch, _ in plans[:7]] == [epoch for _, epoch, _ in plans[7:]]
    assert len({plan.rows.tobytes() for _, _, plan in plans}) == 14


@pytest.mark.slow
def test_stages_follow_each_other_and_epochs_are_counted_over_both(staged):
    assert [(line["epoch"], line["stage"]) for line in lines_of(staged.path) if line["run"] == 0] == [
        (1, "encoder"), (2, "encoder"), (3, "encoder"), (4, "score"), (5, "score"), (6, "score"), (7, "score"),
    ]  # fmt: skip
    assert staged.runs[0].epochs == 7
    assert staged.runs[0].best_epoch > 3


@pytest.mark.slow
def test_a_stage_begins_with_the_best_parameters_of_the_one_before(tmp_path):
    dataset = contrary(AUDIO)  # every epoch is worse than the one before
    options = {"stages": 2, "max_epochs": 4, "patience": 1}
    two = train_toy(tmp_path / "two", dataset, options=options)
    one = train_toy(tmp_path / "one", dataset, options={**options, "encoder_epochs": 1})
    assert [line["stage"] for line in lines_of(two.path)] == ["encoder", "encoder", "score", "score"]
    assert [line["stage"] for line in lines_of(one.path)] == ["encoder", "score", "score"]
    # The encoder does not move in the second stage: it is that of the first epoch in both.
    kept, want = (kept_params(each.path) for each in (two, one))
    np.testing.assert_array_equal(kept["audio_encoder/kernel"], want["audio_encoder/kernel"])
    assert not np.array_equal(kept["score/kernel"], want["score/kernel"])


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


def test_a_stage_leaves_the_parameters_and_the_memory(staged):
    initial = runner_of(TOY, AUDIO, {**TOY_QUICK, "stages": 2}).inits.initial(run_of(1))
    left: StageInit = load_stage(staged.path / "checkpoints" / "1" / "stages" / "encoder", initial)
    params, start = left.variables.params, initial.variables.params
    np.testing.assert_array_equal(params["score/kernel"], start["score/kernel"])
    assert (params["audio_encoder/kernel"] != start["audio_encoder/kernel"]).all()
    assert left.memory["last"].shape == (24,)
    assert left.memory["error"] > 0


def test_the_running_state_is_removed_at_the_end(staged):
    assert not (staged.path / "checkpoints" / "1" / "state").exists()


def test_whether_runs_are_finished_is_said_by_the_first_process(staged, tmp_path, monkeypatch):
    runner, logs = runner_of(TOY, AUDIO, TOY_QUICK), Logs(metrics=MetricsFile(tmp_path / "metrics.jsonl"))
    monkeypatch.setattr(processes, "is_primary", lambda: False)
    monkeypatch.setattr(Path, "is_file", lambda path: pytest.fail(f"{path} is looked for"))
    answers = iter((True, False))
    monkeypatch.setattr(processes, "of_primary", lambda own: np.int32(next(answers)))
    (result,) = runner.run([run_of(1, staged.path / "checkpoints")], logs)
    assert result.epochs == staged.runs[0].epochs

    def begins(folder: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runner_module, "RunCheckpoints", begins)
    with pytest.raises(KeyboardInterrupt):
        runner.run([run_of(1, staged.path / "checkpoints")], logs)


def test_a_state_that_is_being_removed_is_whole_or_gone(tmp_path, monkeypatch):
    state = tmp_path / "1" / "state"
    (state / "4" / "state").mkdir(parents=True)

    def killed(path: Path, *, ignore_errors: bool) -> None:
        if path.exists():
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint.shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.delete_state(tmp_path / "1")
    monkeypatch.undo()
    assert not state.exists()
    checkpoint.delete_state(tmp_path / "1")
    assert not (tmp_path / "1").exists()


def test_a_state_that_a_killed_command_left_is_removed_by_the_next(tmp_path):
    done = train_toy(tmp_path / "run", AUDIO, seeds=(1,), options={"max_epochs": 1})
    left = done.path / "checkpoints" / "1" / "state" / "1"
    left.mkdir(parents=True)
    (done.path / "result.json").unlink()
    train_toy(tmp_path / "run", AUDIO, seeds=(1,), options={"max_epochs": 1})
    assert not left.parent.exists()


# -- side by side -----------------------------------------------------------------------------------------------------


def test_on_a_cpu_as_many_runs_go_side_by_side_as_have_room_for_the_dataset_each(monkeypatch):
    runner = runner_of(TOY, AUDIO, TOY_QUICK)
    monkeypatch.setattr(runner, "_layout", Layout(1, devices(4)))
    one = device_data.bytes_of(runner.prepared.columns["train"]) + 10 * sum(
        4 * leaf.size for leaf in runner.inits.shapes.params.values()
    )
    for room, runs in ((one // 2, 1), (one * 2.5, 2), (one * 100, 4)):
        monkeypatch.setattr(runner_module, "device_memory", lambda room=room: room / device_data.SHARE)
        assert runner.together(4) == runs


def test_on_a_cpu_each_run_has_a_copy_of_the_states_of_a_text_encoder_that_runs_once(monkeypatch):
    found = {}
    for once in (True, False):
        options = {**QUICK, "finetune_text": False, "encode_once": once}
        runner = runner_of(METHODS["text_only"], tiny_dataset(modalities=("text",)), options)
        monkeypatch.setattr(runner, "_layout", Layout(1, devices(4)))
        monkeypatch.setattr(runner, "why_sequential", lambda: None)  # as if its weights were pretrained
        columns, shapes = runner.prepared.columns["train"], runner.inits.shapes.params
        shared = runner.inits.stages[0].shared
        one = sum((4 if path in shared else 40) * leaf.size for path, leaf in shapes.items())
        one += (
            device_data.bytes_of(columns) + 4 * runner.prepared.inputs.text.width * columns["text"]["ids"].size * once
        )
        monkeypatch.setattr(runner_module, "device_memory", lambda room=3 * one: room / device_data.SHARE)
        found[once] = runner.together(4)
    assert found == {True: 3, False: 3}


# -- too little memory ------------------------------------------------------------------------------------------------

OOM = "too little memory .RESOURCE_EXHAUSTED: Out of memory allocating 12345 bytes"
FIVE = {"seeds": (1, 2, 3, 4, 5), "options": {"runs_per_program": 5, "max_epochs": 3, "checkpoint_epochs": 1}}


def test_runs_that_have_no_room_side_by_side_are_trained_in_parts(tmp_path):
    straight = train_toy(tmp_path / "straight", AUDIO, **FIVE)
    with room_for(2):
        parted = train_toy(tmp_path / "parted", AUDIO, **FIVE)
    for one, other in zip(parted.runs, straight.runs, strict=True):
        np.testing.assert_allclose(one.scores["test"]["prediction"], other.scores["test"]["prediction"], atol=1e-5)
    assert sorted((line["seed"], line["epoch"]) for line in lines_of(parted.path)) == [
        (seed, epoch) for seed in FIVE["seeds"] for epoch in (1, 2, 3)
    ]
    assert sorted(path.name for path in (parted.path / "checkpoints").iterdir()) == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize("most", [2, pytest.param(5, marks=pytest.mark.slow)])
def test_runs_in_parts_go_on_with_what_each_part_has(tmp_path, most):
    options = {**TOY_QUICK, **FIVE["options"]}
    with room_for(2), pytest.raises(KeyboardInterrupt):  # the second part has had an epoch, and the first has ended
        train("toy", AUDIO, seeds=FIVE["seeds"], out=tmp_path / "run", log=Interrupting(6), options=options)
    assert (tmp_path / "run" / "checkpoints" / "2" / "result.json").is_file()
    before = [line for line in lines_of(tmp_path / "run") if line["seed"] in (1, 2)]
    with room_for(most):
        done = train_toy(tmp_path / "run", AUDIO, **FIVE)
    assert [run.seed for run in done.runs] == list(FIVE["seeds"])
    assert [line for line in lines_of(done.path) if line["seed"] in (1, 2)] == before


@pytest.mark.parametrize(("most", "epoch"), [(0, 1), (1, 2)])
def test_a_run_that_has_no_room_or_runs_that_have_begun_stop_and_say_what_helps(tmp_path, most, epoch):
    seeds, options = ((1,) if most == 0 else (1, 2)), {"runs_per_program": 2, "checkpoint_epochs": 1}
    with room_for(most, epoch=epoch), pytest.raises(OutOfMemory, match=f"{OOM}.*--resident no") as caught:
        train_toy(tmp_path / "run", AUDIO, seeds=seeds, options=options)
    assert "\n" not in str(caught.value)
    assert ("--runs-per-program" in str(caught.value)) == (most > 0)  # of a run alone it changes nothing
    assert caught.value.__context__ is None  # which would hold what lies on the device
    assert train_toy(tmp_path / "run", AUDIO, seeds=seeds, options=options).runs


@pytest.mark.slow
def test_more_runs_side_by_side_train_no_finished_run_again(tmp_path):
    four = {"seeds": (1, 2, 3, 4), "options": {"max_epochs": 3, "checkpoint_epochs": 1}}
    options = {**TOY_QUICK, **four["options"], "runs_per_program": 2}
    with pytest.raises(KeyboardInterrupt):  # in the second part
        train("toy", AUDIO, seeds=four["seeds"], out=tmp_path / "run", log=Interrupting(5), options=options)
    before = [line for line in lines_of(tmp_path / "run") if line["seed"] in (1, 2)]
    with room_for(1), pytest.raises(KeyboardInterrupt):
        resume(tmp_path / "run", data=AUDIO, runs_per_program=4, log=Interrupting(2))
    done = resume(tmp_path / "run", data=AUDIO, log=None)
    assert [line for line in lines_of(done.path) if line["seed"] in (1, 2)] == before
    assert [(line["seed"], line["epoch"]) for line in lines_of(done.path)][6:] == [
        (seed, epoch) for seed in (3, 4) for epoch in (1, 2, 3)
    ]


@pytest.mark.parametrize(("ended", "state", "parts"), [
    (0, None, ["0-4", "5-9"]),
    (5, "5_to_7", ["5-7", "8-9"]),
    (5, None, ["5-9"]),
    (6, "5_to_7", ["5-7", "8-9"]),
    (4, None, ["4-8", "9-9"]),
])  # fmt: skip
def test_parts_go_on_with_the_states_that_there_are(tmp_path, ended, state, parts):
    runs = [Run(number=number, seed=number, folder=tmp_path / str(number)) for number in range(10)]
    if state:
        (tmp_path / state / "state" / "1").mkdir(parents=True)
    seen = []

    def train(part):
        seen.append(f"{part[0].number}-{part[-1].number}")
        return [run.number for run in part]

    named = {"done": lambda run: run.number < ended, "load": lambda run: run.number, "fewer": pytest.fail}
    assert train_in_parts(runs, 5, train, **named) == list(range(10))
    assert seen == parts


@pytest.mark.slow
def test_a_run_without_room_goes_on_where_it_is_with_what_helps(tmp_path):
    with room_for(0), pytest.raises(OutOfMemory, match="--resident no"):
        train_toy(tmp_path / "run", AUDIO, seeds=(1,))
    done = train_toy(tmp_path / "run", AUDIO, seeds=(1,), options={"resident": "no", "remat": True})
    options = RunConfig.read(done.path).options
    assert (options["resident"], options["remat"]) == ("no", True)


def test_other_errors_of_a_device_are_not_of_its_memory():
    assert out_of_memory_message(jax.errors.JaxRuntimeError("INTERNAL: no")) is None
    assert out_of_memory_message(InputError("RESOURCE_EXHAUSTED")) is None


# -- losses that are not finite ---------------------------------------------------------------------------------------


def test_a_run_that_has_ended_and_is_computed_along_stops_nothing():
    report = Report.empty(
        Measured(means={"loss": np.float32(0)}, weights={}, count=np.float32(1)), runs=2, batches=4, record_steps=0
    )
    report = report._replace(bad_batch=np.array([-1, 2], np.int32))
    runs = [run_of(1), run_of(2)]
    check_finite(report, runs[:1], 3, 4)
    with pytest.raises(TrainingStopped, match="run 2, epoch 3, step 3 of 4"):
        check_finite(report, runs, 3, 4)


def test_a_loss_that_is_not_finite_stops_with_run_epoch_step_and_term(tmp_path):
    options = {"poison_epoch": 2, "poison_step": 6, "batch_size": 5}  # 5 batches an epoch: the second of epoch 2
    for _ in range(2):  # the second time, the checkpoint of epoch 1 is there
        with pytest.raises(TrainingStopped, match="run 7, epoch 2, step 2 of 5: loss term noise is not finite"):
            train_toy(tmp_path / "run", AUDIO, seeds=(7,), options={**options, "checkpoint_epochs": 1})
    assert issubclass(TrainingStopped, InputError)
    assert not Path(tmp_path / "run" / "result.json").exists()
    assert [line["epoch"] for line in lines_of(tmp_path / "run")] == [1]
