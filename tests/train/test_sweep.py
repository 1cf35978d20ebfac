"""Sweeps: each point as if it were trained alone, what fails, resumption, and what is shown of them."""

import importlib
import json
from dataclasses import replace
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import pytest

from msa_jax import cli
from msa_jax.errors import InputError
from msa_jax.methods.protocol import Method, Stage
from msa_jax.report import sweep as shown
from msa_jax.train.experiment_dir import MetricsFile
from msa_jax.train.runner import Runner
from msa_jax.train.sweep import sweep
from tests.tiny import TOY, TOY_QUICK, ToyNetwork, train_toy
from tests.train.kit import AUDIO, Interrupting, lines_of, room_for, runner_of

pytestmark = pytest.mark.usefixtures("toy")
sweep_module = importlib.import_module("msa_jax.train.sweep")  # whose name is also that of its function


def sweep_toy(out, grid, *, seeds=(1, 2), log=None, options=None, **named):
    return sweep(
        "toy", AUDIO, grid=grid, seeds=seeds, out=out, log=log, options={**TOY_QUICK, **(options or {})}, **named
    )


# -- what a program can take ------------------------------------------------------------------------------------------


def test_what_decides_a_shape_or_is_read_on_the_host_is_no_argument():
    names = ["learning_rate.audio", "dropout", "weight_decay.other", "min_delta", "warmup", "standardise_clip"]
    taken = runner_of(TOY, AUDIO, TOY_QUICK).traceable_options(names)
    assert taken == {"learning_rate.audio", "dropout"}  # the toy reads no weight decay


def test_a_method_of_several_stages_or_phases_takes_no_arguments():
    assert runner_of(TOY, AUDIO, {**TOY_QUICK, "stages": 2}).traceable_options(["dropout"]) == frozenset()


class _Louder(ToyNetwork):
    """Its score depends on the rate of dropout, in evaluation too."""

    def __call__(self, batch: Any, *, train: bool) -> dict[str, Any]:
        outputs = super().__call__(batch, train=train)
        return {"prediction": (1 + self.options.dropout) * outputs["prediction"]}


class _Wider(ToyNetwork):
    """Where it begins depends on the rate of dropout."""

    @nn.compact
    def __call__(self, batch: Any, *, train: bool) -> dict[str, Any]:
        wide = self.param("wide", lambda key: self.options.dropout + jax.random.normal(key))
        score = batch["audio"]["features"].sum((1, 2)) * wide
        return {"prediction": score * (1 - self.options.dropout if train else 1)}


def _selected(method: Method) -> Method:
    """By its whole loss, in which a weight is the rate of dropout."""
    (phase,) = method.stages(method.options(), None)[0].phases
    weighed = replace(phase, weights=lambda options, inputs, memory, clock: {"inertia": options.dropout})
    return replace(method, stages=lambda options, inputs: (Stage(phases=(weighed,)),), valid_terms=("loss",))


@pytest.mark.parametrize(
    ("method", "options", "taken"),
    [
        (replace(TOY, network=_Louder), {}, False),
        (replace(TOY, network=_Wider), {}, False),
        (_selected(TOY), {"selection": "term.loss"}, False),
        (_selected(TOY), {}, True),
    ],
    ids=["evaluation", "first values", "selection", "none of them"],
)
def test_what_is_read_outside_of_training_is_no_argument(method, options, taken):
    runner = runner_of(method, AUDIO, {**TOY_QUICK, **options})
    assert runner.traceable_options(["dropout"]) == ({"dropout"} if taken else set())


# -- a sweep ----------------------------------------------------------------------------------------------------------

GRID = {"learning_rate.audio": [0.001, 0.05], "dropout": [0.0, 0.3], "batch_size": [7, 12]}


@pytest.fixture(scope="module")
def finished(toy, tmp_path_factory):
    return sweep_toy(tmp_path_factory.mktemp("sweep") / "run", GRID, options={"runs_per_program": 4})


@pytest.mark.parametrize("numbers", [(0, 7), pytest.param((1, 2, 3, 4, 5, 6), marks=pytest.mark.slow)], ids=str)
def test_every_point_is_what_training_it_alone_gives(finished, tmp_path, numbers):
    for one in (one for one in finished.ranking if one.number in numbers):
        alone = train_toy(tmp_path / str(one.number), AUDIO, seeds=(1, 2), options={**one.point, "runs_per_program": 1})
        for run, other in zip(one.runs, alone.runs, strict=True):
            assert (run["seed"], run["best_epoch"], run["epoch"]) == (other.seed, other.best_epoch, other.epochs)
            assert run["valid"] == pytest.approx(other.valid, abs=1e-4)


def test_the_ranking_is_by_the_mean_on_valid(finished):
    errors = [one.mean["MAE"] for one in finished.ranking]
    assert len(errors) == 8
    assert errors == sorted(errors)
    content = json.loads((finished.path / "ranking.json").read_text())
    assert [point["mean"]["MAE"] for point in content["points"]] == errors
    assert "test" not in json.dumps(content["points"])
    assert not list(finished.path.rglob("params*"))


def test_the_best_point_is_a_preset_that_gives_the_same_run(finished, tmp_path):
    best = finished.path / "best.json"
    changed = json.loads(best.read_text())["options"]
    assert {name: changed.get(name, getattr(TOY.options(), name, None)) for name in ("batch_size", "dropout")} == {
        name: finished.best.point[name] for name in ("batch_size", "dropout")
    }
    # What train_toy gives by itself wins over a preset, so the point is given once more.
    again = train_toy(tmp_path / "other", AUDIO, seeds=(1,), options=finished.best.point, preset=str(best))
    assert again.runs[0].valid == pytest.approx(finished.best.runs[0]["valid"], abs=1e-4)


def test_an_interrupted_sweep_ends_as_a_straight_one(finished, tmp_path):
    for at in (2, 6):
        with pytest.raises(KeyboardInterrupt):
            sweep_toy(tmp_path / "run", GRID, log=Interrupting(at), options={"runs_per_program": 4})
        assert not (tmp_path / "run" / "ranking.json").exists()
    sweep_toy(tmp_path / "run", GRID, options={"runs_per_program": 4})
    for name in ("ranking.json", "best.json"):
        assert (tmp_path / "run" / name).read_bytes() == (finished.path / name).read_bytes()
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    sweep_toy(tmp_path / "run", GRID, options={"runs_per_program": 4})  # nothing is left to train
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before
    with pytest.raises(InputError, match="holds a sweep with another points"):
        sweep_toy(tmp_path / "run", {"dropout": [0.0, 0.1]}, options={"runs_per_program": 4})


@pytest.mark.parametrize(
    ("grid", "points"),
    [
        ({"batch_size": np.array([8, 16])}, [{"batch_size": 8}, {"batch_size": 16}]),
        ({"finetune_text": (np.bool_(True), "no")}, [{"finetune_text": True}, {"finetune_text": False}]),
        ({"leave_out": [["text"], []]}, [{"leave_out": ("text",)}, {"leave_out": ()}]),
        ({"dropout": [0, np.float32(0.5)]}, [{"dropout": 0.0}, {"dropout": 0.5}]),
        ({"batch_size": []}, "batch_size has no values"),
        ({"batch_size": [16, "16"]}, "batch_size has no values, or one of them twice"),
        ({"batch_size": "16"}, "option batch_size has '16'; expected a list of values"),
        ({"batch_size": 16}, "option batch_size has 16; expected a list of values"),
        ({"batch_size": [None]}, "option batch_size is None"),
    ],
    ids=str,
)
def test_values_of_a_grid_are_those_of_the_options_before_anything_is_written(tmp_path, monkeypatch, grid, points):
    found = []

    def train(self):
        found.extend(self._points)
        return dict.fromkeys(range(2), "not trained")

    monkeypatch.setattr(sweep_module._Points, "train", train)
    if isinstance(points, str):
        with pytest.raises(InputError, match=points):
            sweep_toy(tmp_path / "run", grid, seeds=(1,))
        assert not (tmp_path / "run").exists()
        return
    with pytest.raises(InputError, match="every point failed: not trained"):
        sweep_toy(tmp_path / "run", grid, seeds=(1,))
    assert found == points
    assert [type(*one.values()) for one in found] == [type(*point.values()) for point in points]


@pytest.mark.slow
@pytest.mark.parametrize("together", [1, 3])
def test_points_that_fail_are_last_and_stop_nothing(tmp_path, together):
    grid = {"learning_rate.audio": [0.02, 1e38, 0.01]}
    done = sweep_toy(tmp_path / "run", grid, options={"runs_per_program": together})
    assert [one.number for one in done.ranking][2] == 1
    assert done.ranking[2].failed.keys() == {1, 2}
    assert all(one.mean for one in done.ranking[:2])
    assert "1 points failed" in shown.table(done).text()
    if together == 1:
        return  # the others are compared where one program trains all three
    straight = sweep_toy(tmp_path / "two", {"learning_rate.audio": [0.02, 0.01]}, options={"runs_per_program": 1})
    for one, other in zip(done.ranking[:2], straight.ranking, strict=True):
        assert one.mean == pytest.approx(other.mean, abs=1e-4)


def test_a_sweep_whose_points_all_fail_is_no_success(tmp_path):
    with pytest.raises(InputError, match="every point failed: a loss or a prediction was not finite"):
        sweep_toy(tmp_path / "run", {"learning_rate.audio": [1e38]}, seeds=(1,))
    ranking = json.loads((tmp_path / "run" / "ranking.json").read_text())
    assert len(ranking["points"]) == 1  # what is known of them is written


def test_a_point_that_cannot_be_is_recorded(tmp_path):
    done = sweep_toy(tmp_path / "run", {"accumulate": [1, 40]}, seeds=(1,), options={"tail": "drop"})
    assert "nothing would be trained" in done.ranking[1].failed[1]
    assert done.best.point == {"accumulate": 1}
    # What could not begin may begin another time, so only what was trained is kept.
    assert [line["point"] for line in MetricsFile(tmp_path / "run" / "results.jsonl").read()] == [0]
    with pytest.raises(InputError, match="no point can be trained: option accumulate is 30"):
        sweep_toy(tmp_path / "other", {"accumulate": [30, 40]}, seeds=(1,), options={"tail": "drop"})


def test_a_point_that_has_no_room_is_recorded_and_stops_no_other(tmp_path, monkeypatch):
    original = Runner.run

    def run(self: Runner, runs: Any, *rest: Any, **named: Any) -> Any:
        if self.options.batch_size == 7:
            with room_for(0):
                return original(self, runs, *rest, **named)
        return original(self, runs, *rest, **named)

    monkeypatch.setattr(Runner, "run", run)
    done = sweep_toy(tmp_path / "run", {"batch_size": [7, 8]}, seeds=(1,))
    assert done.best.point == {"batch_size": 8}
    assert "too little memory" in done.ranking[1].failed[1]
    # With another device there may be room.
    assert [line["point"] for line in MetricsFile(tmp_path / "run" / "results.jsonl").read()] == [1]


FOUR = {"learning_rate.audio": [0.02, 1e-7, 0.03, 1e-6]}


def test_what_a_part_gave_stays_where_the_next_has_no_room(tmp_path, monkeypatch):
    original = Runner._run

    def less_room(self: Runner, runs: Any, *rest: Any, **named: Any) -> Any:
        with room_for(2), room_for(2 if runs[0].number < 2 else 0, epoch=2):
            return original(self, runs, *rest, **named)

    monkeypatch.setattr(Runner, "_run", less_room)
    options = {"runs_per_program": 4, "checkpoint_epochs": 1}
    done = sweep_toy(tmp_path / "run", FOUR, seeds=(1,), options=options)
    failed = {one.number: one.failed for one in done.ranking}
    assert not failed[0]
    assert not failed[1]
    assert all("too little memory" in failed[number][1] for number in (2, 3))
    assert [line["run"] for line in lines_of(tmp_path / "run" / "results.jsonl")] == [0, 1]


@pytest.mark.slow
def test_a_sweep_in_parts_goes_on_with_what_each_part_has(tmp_path):
    options = {"runs_per_program": 4, "max_epochs": 3}
    with pytest.raises(KeyboardInterrupt), room_for(2):
        sweep_toy(tmp_path / "run", FOUR, seeds=(1,), log=Interrupting(4), options=options)
    assert [line["run"] for line in lines_of(tmp_path / "run" / "results.jsonl")] == [0, 1]
    assert json.loads((tmp_path / "run" / "sweep.json").read_text())["together"] == {"0": 2}
    before = [line for line in lines_of(tmp_path / "run" / "metrics.jsonl") if line["run"] < 2]
    done = sweep_toy(tmp_path / "run", FOUR, seeds=(1,), options=options)
    assert [line for line in lines_of(tmp_path / "run" / "metrics.jsonl") if line["run"] < 2] == before
    assert not any(one.failed for one in done.ranking)


@pytest.mark.slow
def test_a_sweep_with_more_runs_side_by_side_trains_no_finished_run_again(tmp_path):
    options = {"runs_per_program": 2, "max_epochs": 3}
    with pytest.raises(KeyboardInterrupt):
        sweep_toy(tmp_path / "run", FOUR, seeds=(1,), log=Interrupting(4), options=options)
    before = lines_of(tmp_path / "run" / "results.jsonl")
    sweep_toy(tmp_path / "run", FOUR, seeds=(1,), options={**options, "runs_per_program": 4})
    found = lines_of(tmp_path / "run" / "results.jsonl")
    assert found[: len(before)] == before
    assert sorted(line["run"] for line in found) == [0, 1, 2, 3]


@pytest.mark.slow
def test_what_cannot_be_set_up_now_takes_no_result_away(tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        sweep_toy(tmp_path / "run", {"dropout": [0.0, 0.3]}, log=Interrupting(6), options={"runs_per_program": 1})
    before = MetricsFile(tmp_path / "run" / "results.jsonl").read()
    assert 0 < len(before) < 4

    def missing(*arguments: Any) -> Any:
        raise InputError("the disk of the encoder is not there")

    with monkeypatch.context() as patched:
        patched.setattr(sweep_module, "prepared_runner", missing)
        done = sweep_toy(tmp_path / "run", {"dropout": [0.0, 0.3]}, options={"runs_per_program": 1})
    assert sum(len(one.failed) for one in done.ranking) == 4 - len(before)
    again = sweep_toy(tmp_path / "run", {"dropout": [0.0, 0.3]}, options={"runs_per_program": 1})
    assert all(not one.failed for one in again.ranking)
    assert MetricsFile(tmp_path / "run" / "results.jsonl").read()[: len(before)] == before


@pytest.mark.slow
def test_a_point_that_fails_in_its_first_stage_has_failed(tmp_path):
    options = {"stages": 2, "encoder_epochs": 3, "max_epochs": 1, "poison_step": 5}
    done = sweep_toy(tmp_path / "run", {"poison_epoch": [2, 0]}, seeds=(1,), options=options)
    assert [(one.point["poison_epoch"], sorted(one.failed)) for one in done.ranking] == [(0, []), (2, [1])]


@pytest.mark.slow
def test_a_sweep_of_a_method_of_several_stages_keeps_no_parameters(tmp_path):
    sweep_toy(tmp_path / "run", {"dropout": [0.0, 0.3]}, seeds=(1,), options={"stages": 2, "encoder_epochs": 1})
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_dataset_that_somebody_made_is_checked(tmp_path):
    audio = AUDIO.valid.audio.copy()
    audio[2, 1] = np.nan
    wrong = replace(AUDIO, valid=replace(AUDIO.valid, audio=audio))
    with pytest.raises(InputError, match="split valid, column audio, row 2: 3 NaN or infinite values"):
        sweep("self_mm", wrong, grid={"dropout.m": [0.1]}, out=tmp_path / "sweep", log=None)
    with pytest.raises(InputError, match="a Dataset is trained on; found one Split of it"):
        sweep("self_mm", AUDIO.test, grid={"dropout.m": [0.1]}, out=tmp_path / "sweep", log=None)  # pyright: ignore[reportArgumentType]
    assert not (tmp_path / "sweep").exists()


def test_folders_of_other_things_are_left_alone(finished, tmp_path):
    experiment = train_toy(tmp_path / "experiment", AUDIO)
    with pytest.raises(InputError, match="not empty and not a sweep"):
        sweep_toy(experiment.path, {"dropout": [0.0, 0.1]})
    with pytest.raises(InputError, match="not empty and not an experiment"):
        train_toy(finished.path, AUDIO)
    with pytest.raises(InputError, match="rank_by is 'Loss'"):
        sweep_toy(tmp_path / "new", {"dropout": [0.0, 0.1]}, rank_by="Loss")
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("msa_jax.data.load_dataset", lambda data: AUDIO)
    out = tmp_path / "run"
    words = [
        "sweep",
        "toy",
        "--data",
        "tiny",
        "--grid",
        "dropout=0.0,0.3",
        "--draw",
        "learning_rate.audio=1e-3:1e-1:log",
    ]
    words += ["--points", "3", "--seeds", "1", "--out", str(out), "--max-epochs", "2", "--batch-size", "12", "--quiet"]
    assert cli.main(words) == 0
    text = capsys.readouterr().out
    assert "toy on tiny, 3 points by MAE" in text
    assert str(out / "best.json") in text
    assert (out / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert cli.main([*words, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["points"]) == 3
    assert cli.main([*words, "--overwrite"]) == 0  # its figures in every form are its own
    assert cli.main([*words[:4], "--grid", "dropout"]) == 2
    assert "grid 'dropout': neither" in capsys.readouterr().err


def test_a_sweep_of_one_two_and_three_options_is_drawn_each_in_its_way(finished):
    assert shown.figure(finished).axes[0].lines  # parallel coordinates
    one = [replace(ranked, point={"dropout": 0.1 * ranked.number}) for ranked in finished.ranking]
    assert len(shown.figure(replace(finished, ranking=tuple(one))).axes[0].lines[0].get_xdata()) == 8
    two = [replace(r, point={"a": r.number // 4, "b": "wxyz"[r.number % 4]}) for r in finished.ranking]
    assert shown.figure(replace(finished, ranking=tuple(two))).axes[0].images[0].get_array().shape == (2, 4)


def test_a_sweep_by_an_accuracy_is_drawn_in_percent_as_its_table_is(finished):
    ranking = tuple(replace(r, point={"a": r.number // 4, "b": "wxyz"[r.number % 4]}) for r in finished.ranking)
    found = replace(finished, rank_by="Has0_acc_2", ranking=ranking)
    figure = shown.figure(found)
    cells = {text.get_text() for text in figure.axes[0].texts}
    assert cells == {f"{100 * one.mean['Has0_acc_2']:.2f}" for one in ranking}
    assert cells == {row[4].split(" ")[0] for row in shown.table(found).rows}
    assert figure.axes[1].get_ylabel() == "Acc-2 has0 [%] on valid (higher is better)"
    one = tuple(replace(ranked, point={"dropout": 0.1 * ranked.number}) for ranked in ranking)
    alone = shown.figure(replace(found, ranking=one)).axes[0]
    assert alone.lines[0].get_ydata().tolist() == [100 * ranked.mean["Has0_acc_2"] for ranked in one]
