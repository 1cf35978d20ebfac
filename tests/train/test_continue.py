"""A finished experiment goes on to more epochs, as if it had had them from its beginning, and never by accident."""

import io
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from msa_jax.cli import main
from msa_jax.data import write_native
from msa_jax.errors import InputError
from msa_jax.train.experiment import resume, train
from msa_jax.train.judge import reopened
from msa_jax.train.predictor import Predictor
from msa_jax.train.state import Standing
from tests.tiny import TOY_QUICK, ToyOptions, contrary, tiny_dataset, toy  # noqa: F401 - a fixture
from tests.train import kit
from tests.train.kit import AUDIO, Interrupting, lines_of

pytestmark = pytest.mark.usefixtures("toy")


def begin(
    folder: Path, dataset: Any = AUDIO, *, seeds: tuple[int, ...] = (3, 4), keep_state: bool = True, **options: Any
):
    options = {**TOY_QUICK, "max_epochs": 3, "checkpoint_epochs": 2, "runs_per_program": 1, **options}
    return train(
        "toy", dataset, seeds=seeds, out=folder, log=None, options=options, record_labels=True, keep_state=keep_state
    )


def outcome(folder: Path) -> dict[str, Any]:
    """As of resumed experiments; the lines of a run's further epochs come after those of the other runs."""
    found = kit.outcome(folder)
    found["lines"].sort(key=lambda line: (line["run"], line["epoch"]))
    return found


def options_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text())["options"]


@pytest.fixture(scope="module")
def straight(toy, tmp_path_factory) -> dict[str, Any]:  # noqa: F811
    """The outcome of six epochs in one."""
    return outcome(begin(tmp_path_factory.mktemp("straight") / "run", max_epochs=6).path)


@pytest.mark.slow
@pytest.mark.parametrize("keep_state", [True, False])
def test_three_epochs_and_three_more_are_six(tmp_path, straight, keep_state):
    path = begin(tmp_path / "run", keep_state=keep_state).path
    assert any((path / "checkpoints").glob("*/state")) == keep_state
    log = io.StringIO()
    resume(path, max_epochs=6, data=AUDIO, log=log)
    assert outcome(path) == straight
    assert options_of(path)["max_epochs"] == 6
    epochs = [line.split()[3] for line in log.getvalue().splitlines() if line.startswith("seed ")]
    assert epochs == [str(epoch) for epoch in ((4, 5, 6) if keep_state else range(1, 7))] * 2
    assert ("were not kept" in log.getvalue()) != keep_state


@pytest.mark.slow
def test_what_two_devices_shared_goes_on_with_one(tmp_path, straight):
    path = begin(tmp_path / "run", data_devices=2).path
    write_native(AUDIO, tmp_path / "data")
    line = f"resume {path} --max-epochs 6 --data {tmp_path / 'data'} --data-devices 1 --quiet"
    assert main(line.split()) == 0
    result = json.loads((path / "result.json").read_text())
    assert result["runs"][0]["hyperparameters"]["data_devices"] == 1
    assert [run["epochs"] for run in result["runs"]] == [run["epochs"] for run in straight["result"]["runs"]]
    for run, other in zip(result["runs"], straight["result"]["runs"], strict=True):
        assert run["test"]["MAE"] == pytest.approx(other["test"]["MAE"], abs=1e-4)


@pytest.mark.slow
def test_what_more_devices_shared_than_there_are_goes_on_with_those(tmp_path):
    path = begin(tmp_path / "run", seeds=(3,)).path
    content = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**content, "options": {**content["options"], "data_devices": 99}}))
    done = resume(path, max_epochs=4, data=AUDIO, log=None)
    result = json.loads((done.path / "result.json").read_text())
    assert result["runs"][0]["hyperparameters"]["data_devices"] == jax.device_count()


@pytest.mark.slow
def test_runs_side_by_side_go_on_too(tmp_path):
    six = begin(tmp_path / "six", runs_per_program=2, max_epochs=6).path
    path = begin(tmp_path / "run", runs_per_program=2).path
    resume(path, max_epochs=5, data=AUDIO, log=None)
    resume(path, max_epochs=6, data=AUDIO, log=None)  # and once more
    assert outcome(path) == outcome(six)


@pytest.mark.slow
def test_the_last_of_several_stages_goes_on(tmp_path):
    six = begin(tmp_path / "six", seeds=(3,), stages=2, max_epochs=6).path
    path = begin(tmp_path / "run", seeds=(3,), stages=2).path
    resume(path, max_epochs=6, data=AUDIO, log=None)
    assert outcome(path) == outcome(six)


def test_runs_that_early_stopping_ended_stay_as_they_are(tmp_path):
    path = begin(tmp_path / "run", contrary(AUDIO), seeds=(3,), patience=2, max_epochs=5).path
    before = outcome(path)
    assert before["result"]["runs"][0]["epochs"] < 5
    resume(path, max_epochs=9, data=contrary(AUDIO), log=None)
    after = outcome(path)
    for content in (before, after):
        del content["result"]["runs"][0]["hyperparameters"]["max_epochs"]
    assert after == before


@pytest.mark.slow
@pytest.mark.parametrize("at", [1, *(pytest.param(at, marks=pytest.mark.slow) for at in (2, 5))])
def test_what_is_killed_while_it_goes_on_goes_on_again(tmp_path, straight, at):
    path = begin(tmp_path / "run").path
    with pytest.raises(KeyboardInterrupt):
        resume(path, max_epochs=6, data=AUDIO, log=Interrupting(at))  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="not finished"):
        Predictor.load(path)
    if at == 2:
        resume(path, max_epochs=6, data=AUDIO, log=None)
    elif at == 1:
        resume(path, data=AUDIO, log=None)
    else:
        begin(path, max_epochs=6)  # the first command with as many epochs
    assert outcome(path) == straight


@pytest.mark.slow
def test_an_unfinished_experiment_needs_no_option(tmp_path):
    three = outcome(begin(tmp_path / "three").path)
    options = {**TOY_QUICK, "max_epochs": 3, "checkpoint_epochs": 2, "runs_per_program": 1}
    with pytest.raises(KeyboardInterrupt):
        train(
            "toy", AUDIO, seeds=(3, 4), out=tmp_path / "run", log=Interrupting(4), options=options, record_labels=True
        )  # pyright: ignore[reportArgumentType]
    resume(tmp_path / "run", data=AUDIO, log=None)
    assert outcome(tmp_path / "run") == three
    assert not any((tmp_path / "run" / "checkpoints").glob("*/state"))


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"schedule": "cosine"}, pytest.param({"warmup": 0.5}, marks=pytest.mark.slow)])
def test_a_schedule_over_all_epochs_is_said(tmp_path, options):
    path, log = begin(tmp_path / "run", seeds=(3,), **options).path, io.StringIO()
    resume(path, max_epochs=6, data=AUDIO, log=log)
    assert "the schedule of the learning rate spans max_epochs; until now that was 3" in log.getvalue()
    assert [line["epoch"] for line in lines_of(path)] == list(range(1, 7))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_epochs": None}, "finished after at most 3 epochs"),
        ({"max_epochs": 3}, "max_epochs is 3; expected a whole number from 4"),
        ({"max_epochs": 4.5}, "max_epochs is 4.5"),
        ({"max_epochs": True}, "max_epochs is True"),
        ({"max_epochs": 6, "data": tiny_dataset(1, modalities=("audio",))}, "the dataset is not the one that"),
        ({"max_epochs": 6, "data": "nowhere"}, "nowhere"),
    ],
)
def test_what_cannot_go_on_stays_as_it_is(tmp_path, changes, message):
    path = begin(tmp_path / "run", seeds=(3,)).path
    before = outcome(path)
    with pytest.raises(InputError, match=message):
        resume(path, log=None, **{"data": AUDIO, **changes})
    assert outcome(path) == before
    assert options_of(path)["max_epochs"] == 3


def test_what_is_no_experiment_is_an_input_error(tmp_path):
    (tmp_path / "config.json").write_text('{"hidden_size": 3}')
    with pytest.raises(InputError, match="not an experiment"):
        resume(tmp_path, max_epochs=3, log=None)


@pytest.mark.slow
def test_the_command_says_how_and_goes_on(tmp_path, capsys):
    write_native(AUDIO, tmp_path / "data")
    line = (
        f"train toy --data {tmp_path / 'data'} --seeds 1 --out {tmp_path / 'run'} --max-epochs 2 --quiet --keep-state"
    )
    assert main(line.split()) == 0
    assert main(line.replace("2 --quiet", "4 --quiet").split()) == 2  # never by accident
    assert f"`msa-jax resume {tmp_path / 'run'} --max-epochs N` trains it further" in capsys.readouterr().err
    assert main(["resume", str(tmp_path / "run"), "--max-epochs", "4", "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["epochs"] == 4
    assert main(["resume", str(tmp_path / "run")]) == 2


def test_reopened_runs_are_those_that_had_all_their_epochs():
    standing = Standing.start(np.zeros(4, np.int32)).replace(
        best_epoch=np.array([3, 1, 3, 3]), epochs=np.array([3, 3, 3, 3]), failed=np.array([False, False, True, False])
    )
    standing = standing.replace(ended=np.ones(4, bool))
    options = ToyOptions(max_epochs=6, patience=2)
    np.testing.assert_array_equal(reopened(standing, np.array([3, 3, 3, 6]), options).ended, [False, True, True, True])


@pytest.mark.slow
def test_a_last_epoch_that_was_selected_for_want_of_others_is_selected_no_longer():
    standing = Standing.start(np.full(3, 10, np.int32)).replace(
        best_epoch=np.array([13, 13, 0], np.int32), best_value=np.array([1, 1, np.inf], np.float32)
    )
    standing = standing.replace(epochs=np.array([13, 13, 13], np.int32), ended=np.ones(3, bool))
    for max_epochs, best in ((3, 13), (4, 0), (20, 0)):  # of a stage that selects from its fifth epoch on
        options = ToyOptions(max_epochs=max_epochs, patience=2)
        found = reopened(standing, np.array([3, 3, 3]), options, select_from=5)
        np.testing.assert_array_equal(found.best_epoch, [best, best, 0])
        np.testing.assert_array_equal(np.isinf(found.best_value), [best == 0, best == 0, True])
        assert found.ended.tolist() == [max_epochs == 3] * 3
        assert {name: leaf.dtype for name, leaf in vars(found).items()} == {
            name: leaf.dtype for name, leaf in vars(standing).items()
        }
