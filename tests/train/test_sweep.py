"""Sweeps: which points there are, that each is as if trained alone, what fails, and resumption."""

import json

import numpy as np
import pytest

from msa_jax import cli
from msa_jax.errors import InputError
from msa_jax.methods import METHODS
from msa_jax.report import sweep as shown
from msa_jax.train.runner import Runner
from msa_jax.train.search_space import Draw, make_points, parse_draws, parse_grid
from msa_jax.train.sweep import sweep
from tests.tiny import TOY, TOY_QUICK, tiny_dataset, train_toy
from tests.train.kit import Interrupting

pytestmark = pytest.mark.usefixtures("toy")

AUDIO = tiny_dataset(modalities=("audio",))
MMCL = METHODS["mmcl"].options()


def sweep_toy(out, grid, *, seeds=(1, 2), log=None, options=None, **named):
    return sweep(
        "toy", AUDIO, grid=grid, seeds=seeds, out=out, log=log, options={**TOY_QUICK, **(options or {})}, **named
    )


# -- points -----------------------------------------------------------------------------------------------------------


def test_a_grid_is_every_combination_in_order():
    assert make_points({"a": [1, 2], "b": ["x", "y"]}, {}, count=None, seed=0) == [
        {"a": 1, "b": "x"}, {"a": 1, "b": "y"}, {"a": 2, "b": "x"}, {"a": 2, "b": "y"},
    ]  # fmt: skip


def test_points_of_a_grid_are_drawn_without_repetition_and_always_the_same():
    grid = {"a": list(range(10)), "b": list(range(10))}
    drawn = make_points(grid, {}, count=40, seed=3)
    assert len({tuple(point.values()) for point in drawn}) == 40
    assert drawn == make_points(grid, {}, count=40, seed=3) != make_points(grid, {}, count=40, seed=4)


def test_drawn_values_lie_in_their_range_and_evenly_on_their_scale():
    points = make_points({}, {"a": Draw(low=1e-4, high=1e-2, log=True), "b": Draw(low=-1, high=3)}, count=4000, seed=0)
    a, b = (np.array([point[name] for point in points]) for name in "ab")
    assert a.min() >= 1e-4 * 0.999
    assert a.max() <= 1e-2 * 1.001
    assert np.mean(a < 1e-3) == pytest.approx(0.5, abs=0.03)
    assert np.mean(b < 1) == pytest.approx(0.5, abs=0.03)


def test_grids_are_read_as_the_options_types():
    grid = parse_grid(["contrast=uni,cross/uni", "weights.uni=0.5,1", "batch_size=8,16"], MMCL)
    assert grid == {"contrast": [("uni", "cross"), ("uni",)], "weights.uni": [0.5, 1.0], "batch_size": [8, 16]}
    assert parse_draws(["learning_rate.other=1e-4:1e-2:log"], MMCL) == {
        "learning_rate.other": Draw(low=1e-4, high=1e-2, log=True)
    }


@pytest.mark.parametrize(("name", "points"), [("mmcl_weights", 243), ("mmcl_appendix", 1458)])
def test_grids_of_the_paper(name, points):
    assert len(make_points(parse_grid([name], MMCL), {}, count=None, seed=0)) == points


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: parse_grid(["nothing=1"], MMCL), "unknown option 'nothing'"),
        (lambda: parse_grid(["batch_size=8,8"], MMCL), "batch_size has no values, or one of them twice"),
        (lambda: parse_grid(["batch_size=8", "batch_size=9"], MMCL), "batch_size is given twice"),
        (lambda: parse_grid(["batch_size=many"], MMCL), "batch_size is 'many'; expected int"),
        (
            lambda: parse_grid(["mmcl_weight"], MMCL),
            "grid 'mmcl_weight': neither .* a grid that there is: mmcl_weights",
        ),
        (lambda: parse_grid(["mmcl_weights"], TOY.options()), "unknown option 'weights.uni'"),
        (lambda: parse_grid(["dropout=1.5"], MMCL), "option dropout is 1.5"),
        (lambda: parse_draws(["dropout=0.5"], MMCL), "expected OPTION=LOW:HIGH"),
        (lambda: parse_draws(["dropout=0.5:0.1"], MMCL), "with LOW < HIGH"),
        (lambda: parse_draws(["kappa=0:1:log"], MMCL), "option|expected OPTION=LOW:HIGH"),
        (lambda: parse_draws(["dropout=0:nan"], MMCL), "with LOW < HIGH"),
        (lambda: parse_draws(["batch_size=8:16"], MMCL), "batch_size is no real number"),
        (lambda: make_points({}, {}, count=None, seed=0), "nothing to vary"),
        (lambda: make_points({}, {"a": Draw(low=0, high=1)}, count=None, seed=0), "need --points"),
        (lambda: make_points({"a": [1, 2]}, {}, count=3, seed=0), "the grid has 2"),
        (lambda: make_points({"a": [1, 2]}, {}, count=0, seed=0), "points is 0"),
        (
            lambda: make_points({"a": [1]}, {"a": Draw(low=0, high=1)}, count=2, seed=0),
            "option a is in the grid and drawn",
        ),
        (lambda: make_points({str(n): [0, 1] for n in range(40)}, {}, count=None, seed=0), "give --points"),
    ],
)
def test_what_is_no_point_is_an_input_error(call, message):
    with pytest.raises(InputError, match=message):
        call()


# -- what a program can take ------------------------------------------------------------------------------------------


def test_what_decides_a_shape_or_is_read_on_the_host_is_no_argument(toy):
    from msa_jax.config import override
    from msa_jax.train.prepare import prepare

    options = override(toy.options(), TOY_QUICK)
    runner = Runner(toy, options, prepare(AUDIO, toy, options), metric_kind="mosi")
    names = ["learning_rate.audio", "dropout", "weight_decay.other", "min_delta", "warmup", "standardise_clip"]
    assert runner.traceable_options(names) == {"learning_rate.audio", "dropout"}  # the toy reads no weight decay


# -- a sweep ----------------------------------------------------------------------------------------------------------

GRID = {"learning_rate.audio": [0.001, 0.05], "dropout": [0.0, 0.3], "batch_size": [7, 12]}


@pytest.fixture(scope="module")
def finished(toy, tmp_path_factory):
    return sweep_toy(tmp_path_factory.mktemp("sweep") / "run", GRID, options={"runs_per_program": 4})


def test_every_point_is_what_training_it_alone_gives(finished, tmp_path):
    for one in finished.ranking:
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
    again = train_toy(tmp_path / "run", AUDIO, seeds=(1,), options={}, preset=str(best))
    # What train_toy gives by itself wins over a preset, so the points are given once more.
    again = train_toy(tmp_path / "other", AUDIO, seeds=(1,), options=finished.best.point, preset=str(best))
    assert again.runs[0].valid == pytest.approx(finished.best.runs[0]["valid"], abs=1e-4)


def test_an_interrupted_sweep_ends_as_a_straight_one(finished, tmp_path):
    for at in (2, 6, 9):
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


@pytest.mark.parametrize("together", [1, 3])
def test_points_that_fail_are_last_and_stop_nothing(tmp_path, together):
    grid = {"learning_rate.audio": [0.02, 1e38, 0.01]}
    done = sweep_toy(tmp_path / "run", grid, options={"runs_per_program": together})
    assert [one.number for one in done.ranking][2] == 1
    assert done.ranking[2].failed.keys() == {1, 2}
    assert all(one.mean for one in done.ranking[:2])
    straight = sweep_toy(tmp_path / "two", {"learning_rate.audio": [0.02, 0.01]}, options={"runs_per_program": 1})
    for one, other in zip(done.ranking[:2], straight.ranking, strict=True):
        assert one.mean == pytest.approx(other.mean, abs=1e-4)
    assert "1 points failed" in shown.table(done).text()


def test_a_point_that_cannot_be_is_recorded(tmp_path):
    done = sweep_toy(tmp_path / "run", {"accumulate": [1, 40]}, seeds=(1,), options={"tail": "drop"})
    assert "nothing would be trained" in done.ranking[1].failed[1]
    assert done.best.point == {"accumulate": 1}


def test_folders_of_other_things_are_left_alone(finished, tmp_path):
    experiment = train_toy(tmp_path / "experiment", AUDIO)
    with pytest.raises(InputError, match="not empty and not a sweep"):
        sweep_toy(experiment.path, {"dropout": [0.0, 0.1]})
    with pytest.raises(InputError, match="not empty and not an experiment"):
        train_toy(finished.path, AUDIO)
    with pytest.raises(InputError, match="rank_by is 'Loss'"):
        sweep_toy(tmp_path / "new", {"dropout": [0.0, 0.1]}, rank_by="Loss")
    assert not (tmp_path / "new").exists()


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
    assert cli.main([*words[:4], "--grid", "dropout"]) == 2
    assert "grid 'dropout': neither" in capsys.readouterr().err


def test_a_sweep_of_one_two_and_three_options_is_drawn_each_in_its_way(finished):
    from dataclasses import replace

    assert shown.figure(finished).axes[0].lines  # parallel coordinates
    one = [replace(ranked, point={"dropout": 0.1 * ranked.number}) for ranked in finished.ranking]
    assert len(shown.figure(replace(finished, ranking=tuple(one))).axes[0].lines[0].get_xdata()) == 8
    two = [replace(r, point={"a": r.number // 4, "b": "wxyz"[r.number % 4]}) for r in finished.ranking]
    assert shown.figure(replace(finished, ranking=tuple(two))).axes[0].images[0].get_array().shape == (2, 4)
