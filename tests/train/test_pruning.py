"""Median stopping: which runs a sweep gives up, that the others do not notice, and that a resumed sweep decides the same."""

import json

import numpy as np
import pytest

from msa_jax import cli
from msa_jax.errors import InputError
from msa_jax.report import sweep as shown
from msa_jax.train.pruning import MedianStopping, Prune, Pruned, parse_prune
from msa_jax.train.runner import Runner
from msa_jax.train.sweep import sweep
from tests.tiny import TOY_QUICK
from tests.train.kit import AUDIO, Interrupting, lines_of, room_for


def line(run: int, epoch: int, value: float | None, **more) -> dict:
    return {"run": run, "epoch": epoch, "valid": {"MAE": value, "Corr": value}, **more}


def given_up(values: np.ndarray, rule: Prune, metric: str) -> dict[int, int]:
    """{run: epoch after which it is given up} of runs [R, E] that are trained one after the other; by numpy."""
    sign = -1 if metric == "Corr" else 1
    best, found = np.minimum.accumulate(sign * values, axis=1), {}
    for run in range(len(values)):
        for epoch in range(rule.warmup, values.shape[1] + 1):
            others = [best[other, min(epoch, found.get(other, epoch)) - 1] for other in range(run)]
            if len(others) >= rule.runs and best[run, epoch - 1] > np.median(others):
                found[run] = epoch
                break
    return found


@pytest.mark.parametrize("metric", ["MAE", "Corr"])
@pytest.mark.parametrize("rule", [Prune(), Prune(warmup=1, runs=1), Prune(warmup=3, runs=4)], ids=str)
def test_a_run_is_given_up_where_its_best_is_worse_than_the_median_of_the_others(rule, metric):
    values = np.random.default_rng(0).normal(size=(12, 9)) + np.random.default_rng(1).normal(size=(12, 1))
    stopping, found, lines = MedianStopping(rule, metric), {}, []
    for run, row in enumerate(values):
        stopping.begin(lines, "train")
        for epoch, value in enumerate(row, start=1):
            lines.append(line(run, epoch, float(value)))
            stopping.see(lines[-1:])
            if stopping.stops(run):
                found[run] = epoch
                break
    assert found == given_up(values, rule, metric)
    assert 0 < len(found) < 12
    assert {run: why.epoch for run, why in stopping.pruned.items()} == found
    for run, why in stopping.pruned.items():
        assert why.best == (max if metric == "Corr" else min)(values[run, : why.epoch])


def test_a_tie_is_not_worse_and_an_undefined_score_is():
    stopping = MedianStopping(Prune(warmup=1, runs=2), "MAE")
    stopping.see([line(0, 1, 1.0), line(1, 1, 2.0), line(2, 1, 1.5), line(3, 1, None), line(4, 1, float("nan"))])
    assert [stopping.stops(run) for run in range(5)] == [False, False, False, True, True]
    assert stopping.pruned[3] == Pruned(1, float("inf"), 1.75)


def test_only_epochs_of_the_last_stage_count():
    stopping = MedianStopping(Prune(warmup=2, runs=1), "MAE")
    lines = [line(0, epoch, 1.0, stage="fusion") for epoch in (1, 2)]
    lines += [line(1, epoch, 0.5, stage="text") for epoch in (1, 2, 3)] + [line(1, 4, 3.0, stage="fusion")]
    stopping.begin(lines, "fusion")
    assert not stopping.stops(1)
    stopping.see([line(1, 5, 2.0, stage="fusion")])
    assert stopping.stops(1)
    assert stopping.pruned == {1: Pruned(5, 2.0, 1.0)}


@pytest.mark.parametrize("wrong", [{"warmup": 0}, {"runs": 0}, {"warmup": 2.5}, {"runs": True}])
def test_what_is_no_rule_is_an_input_error(wrong):
    with pytest.raises(InputError, match="expected a whole number from 1"):
        Prune(**wrong)


def test_a_rule_is_read_from_a_command_line():
    assert (parse_prune(""), parse_prune("10:8")) == (Prune(), Prune(warmup=10, runs=8))
    for text in ("5", "a:b", "5:-1", "1:2:3", ":", "5:0", "9" * 5000):
        with pytest.raises(InputError, match="prune"):
            parse_prune(text)


# -- in a sweep -------------------------------------------------------------------------------------------------------

GRID = {"learning_rate.audio": [0.02, 1e-7, 0.03, 1e-6], "dropout": [0.0, 0.1]}
RULE = Prune(warmup=2, runs=2)


def sweep_toy(out, *, log=None, together=2, **named):
    options = {**TOY_QUICK, "runs_per_program": together, "max_epochs": 6, "learning_rate.other": 1e-7}
    return sweep("toy", AUDIO, seeds=(1,), out=out, log=log, **{"grid": GRID, "options": options, **named})


@pytest.fixture(scope="module")
def whole(toy, tmp_path_factory):
    return sweep_toy(tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture(scope="module")
def pruned(toy, tmp_path_factory):
    return sweep_toy(tmp_path_factory.mktemp("pruned") / "run", prune=RULE)


def curves(folder) -> dict[int, list[float]]:
    found: dict[int, list[float]] = {}
    for one in lines_of(folder / "metrics.jsonl"):
        found.setdefault(one["run"], []).append(one["valid"]["MAE"])
    return found


def test_runs_of_a_sweep_end_where_the_rule_says_and_the_others_do_not_notice(whole, pruned):
    every, fewer = curves(whole.path), curves(pruned.path)
    given_up = {one.number: one.pruned[1] for one in pruned.ranking if one.pruned}
    assert 0 < len(given_up) < 7
    assert sum(map(len, fewer.values())) < sum(map(len, every.values()))
    for run, values in every.items():
        known = fewer[run]
        assert known == values[: len(known)]
        if run not in given_up:
            assert len(known) == len(values)
            continue
        epoch, together = given_up[run]["epoch"], run // 2 * 2 + 2
        others = [min(fewer[other][:epoch]) for other in range(together) if other != run]
        assert len(known) == epoch >= RULE.warmup
        assert len(others) >= RULE.runs
        assert given_up[run]["best"] == min(known) > given_up[run]["median"] == np.median(others)


def test_points_that_were_given_up_are_behind_the_others_and_are_told(whole, pruned):
    assert [bool(one.pruned) for one in pruned.ranking] == sorted(bool(one.pruned) for one in pruned.ranking)
    assert pruned.best.number == whole.best.number
    assert "were given up early" in shown.table(pruned).text()
    assert "given up" not in shown.table(whole).text()
    content = json.loads((pruned.path / "ranking.json").read_text())
    assert content["prune"] == {"warmup": 2, "runs": 2}
    told = {point["point"]: point["pruned"] for point in content["points"]}
    assert told == {one.number: {str(seed): why for seed, why in one.pruned.items()} for one in pruned.ranking}
    assert not any(one.pruned for one in whole.ranking)


@pytest.mark.slow
def test_an_interrupted_sweep_gives_up_the_same_runs(pruned, tmp_path):
    for at in (3, 8):
        with pytest.raises(KeyboardInterrupt):
            sweep_toy(tmp_path / "run", log=Interrupting(at), prune=RULE)
    sweep_toy(tmp_path / "run", prune=RULE)
    for name in ("ranking.json", "best.json", "results.jsonl"):
        assert (tmp_path / "run" / name).read_bytes() == (pruned.path / name).read_bytes()
    with pytest.raises(InputError, match="holds a sweep with another prune"):
        sweep_toy(tmp_path / "run")


def test_a_sweep_goes_on_with_as_many_runs_side_by_side_as_it_began_with(pruned, tmp_path, monkeypatch):
    monkeypatch.setattr(Runner, "_gainful", lambda self, runs: 2)
    with pytest.raises(KeyboardInterrupt):
        sweep_toy(tmp_path / "run", log=Interrupting(8), prune=RULE, together="auto")
    assert json.loads((tmp_path / "run" / "sweep.json").read_text())["together"] == {"0": 2}
    monkeypatch.setattr(Runner, "_gainful", lambda self, runs: 1)  # as on a machine with fewer cores
    sweep_toy(tmp_path / "run", prune=RULE, together="auto")
    for name in ("ranking.json", "results.jsonl"):
        assert (tmp_path / "run" / name).read_bytes() == (pruned.path / name).read_bytes()


@pytest.mark.slow
def test_another_number_of_runs_side_by_side_forgets_what_was_not_finished(tmp_path, toy):
    with pytest.raises(KeyboardInterrupt):
        sweep_toy(tmp_path / "run", log=Interrupting(9), prune=RULE, together=4)
    before = {line["run"] for line in lines_of(tmp_path / "run" / "metrics.jsonl")}
    finished = {line["run"] for line in lines_of(tmp_path / "run" / "results.jsonl")}
    assert {4, 5, 6, 7} <= before - finished
    done = sweep_toy(tmp_path / "run", prune=RULE, together=1)
    found = curves(done.path)
    alone = [one for one in done.ranking if one.pruned and one.number > 3]
    assert alone
    for one in alone:
        why = one.pruned[1]
        others = [min(found[other][: why["epoch"]]) for other in range(one.number)]
        assert why["median"] == np.median(others)


@pytest.mark.slow
def test_runs_that_begin_again_in_parts_are_judged_anew(toy, tmp_path):
    """Of a try that ended for too little memory nothing is left, neither lines nor runs that were given up."""
    named = {"prune": Prune(warmup=1, runs=1), "log": None}
    alone = sweep_toy(tmp_path / "alone", together=1, **named)
    options = {**TOY_QUICK, "runs_per_program": 4, "max_epochs": 6, "learning_rate.other": 1e-7, "checkpoint_epochs": 9}
    with room_for(1, epoch=4):
        parted = sweep_toy(tmp_path / "parted", options=options, **named)
    assert parted.ranking == alone.ranking


def test_what_is_no_way_to_prune_is_an_input_error_before_anything_is_written(toy, tmp_path):
    with pytest.raises(InputError, match="prune is 3; expected True, False or a Prune"):
        sweep_toy(tmp_path / "run", prune=3)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_runs_of_a_method_of_two_stages_are_given_up_in_the_last(toy, tmp_path):
    options = {**TOY_QUICK, "stages": 2, "encoder_epochs": 3, "max_epochs": 5}
    grid = {"learning_rate.other": [0.02, 0.03, 1e-7, 1e-8]}
    done = sweep_toy(tmp_path / "run", grid=grid, options=options, prune=Prune(warmup=1, runs=1))
    why = [one.pruned[1] for one in done.ranking if one.pruned]
    assert why
    assert all(one["epoch"] > 3 for one in why)


@pytest.mark.slow
def test_the_command_prunes(toy, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("msa_jax.data.load_dataset", lambda data: AUDIO)
    words = ["sweep", "toy", "--data", "tiny", "--grid", "learning_rate.audio=0.02,0.03,1e-7,1e-6", "--seeds", "1"]
    words += ["--out", str(tmp_path / "run"), "--max-epochs", "3", "--batch-size", "12", "--quiet"]
    words += ["--learning-rate.other", "1e-7"]
    assert cli.main([*words, "--prune", "1:x"]) == 2
    assert capsys.readouterr().err.startswith("msa-jax: prune is '1:x'; expected EPOCHS:RUNS such as 5:5")
    assert cli.main([*words, "--prune", "1:1"]) == 0
    assert "given up early" in capsys.readouterr().out
