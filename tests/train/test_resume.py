"""A run that was interrupted and resumed ends in the same bits as one that was not."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from msa_jax.errors import InputError
from msa_jax.train import checkpoint, processes
from msa_jax.train.checkpoint import RunCheckpoints
from msa_jax.train.experiment import resume, train
from msa_jax.train.settings import RunConfig
from tests.paths import REPOSITORY
from tests.tiny import QUICK, TOY_QUICK, contrary, tiny_dataset, train_quick, train_toy
from tests.train.kit import AUDIO, Interrupting, interrupt_and_resume, lines_of, outcome, toy_experiment

pytestmark = pytest.mark.usefixtures("toy")


@pytest.fixture(scope="module")
def straight(toy, tmp_path_factory) -> dict:
    """The outcome of the toy experiment that nothing interrupts."""
    folder = tmp_path_factory.mktemp("straight") / "run"
    toy_experiment(folder)(None)
    return outcome(folder)


@pytest.mark.parametrize(
    "at",
    [
        pytest.param([1, 1, 2, 3], marks=pytest.mark.slow),  # before there is a checkpoint, and again and again
        pytest.param([3], marks=pytest.mark.slow),
        [7],  # in the second run
    ],
    ids=str,
)
def test_an_interrupted_experiment_ends_as_a_straight_one(tmp_path, straight, at):
    assert interrupt_and_resume(tmp_path / "run", at, toy_experiment(tmp_path / "run")) == straight


def test_a_resumed_experiment_goes_on_from_its_checkpoint(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        toy_experiment(tmp_path / "run", seeds=(3,))(Interrupting(4))
    seen = []
    resume(tmp_path / "run", data=AUDIO, log=None, on_epoch=lambda line: seen.append(line["epoch"]))
    assert seen == list(range(seen[0], 6))
    assert seen[0] > 2


@pytest.mark.slow
@pytest.mark.parametrize(("before", "now"), [(2, 1), (1, 2), ("auto", 1)])
def test_an_experiment_goes_on_with_another_number_of_runs_side_by_side(tmp_path, straight, before, now):
    with pytest.raises(KeyboardInterrupt):
        toy_experiment(tmp_path / "run", runs_per_program=before)(Interrupting(5))
    toy_experiment(tmp_path / "run", runs_per_program=now)(None)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["runs_per_program"] == now
    assert {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()} == {"3", "4"}
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    for run, other in zip(result["runs"], straight["result"]["runs"], strict=True):
        assert run["epochs"] == other["epochs"]
        assert run["test"]["MAE"] == pytest.approx(other["test"]["MAE"], abs=1e-4)
    assert len(lines_of(tmp_path / "run" / "metrics.jsonl")) == sum(run["epochs"] for run in result["runs"])


@pytest.mark.slow
def test_another_number_of_runs_side_by_side_stays_when_resume_goes_on(tmp_path):
    def states() -> set[str]:
        return {path.parent.name for path in (tmp_path / "run" / "checkpoints").glob("*/state")}

    with pytest.raises(KeyboardInterrupt):
        toy_experiment(tmp_path / "run", runs_per_program=2)(Interrupting(2))
    with pytest.raises(KeyboardInterrupt):
        toy_experiment(tmp_path / "run", runs_per_program=1)(Interrupting(3))
    assert states() == {"3"}
    with pytest.raises(KeyboardInterrupt):
        resume(tmp_path / "run", data=AUDIO, log=Interrupting(1))
    assert states() == {"3"}  # of two epochs, and not begun again
    assert RunConfig.read(tmp_path / "run").runs_per_program == 1
    with pytest.raises(KeyboardInterrupt):
        resume(tmp_path / "run", data=AUDIO, runs_per_program=2, log=Interrupting(2))
    assert states() == {"3_to_4"}
    content = RunConfig.read(tmp_path / "run")
    assert (content.runs_per_program, content.options["runs_per_program"]) == (2, 2)


def test_an_option_that_came_since_is_what_its_default_is(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        toy_experiment(tmp_path / "run", seeds=(3,))(Interrupting(2))
    path = tmp_path / "run" / "config.json"
    content = json.loads(path.read_text())
    del content["options"]["poison_epoch"]
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="an experiment with another poison_epoch"):
        toy_experiment(tmp_path / "run", seeds=(3,), poison_epoch=7)(None)
    resume(tmp_path / "run", data=AUDIO, log=None)


@pytest.mark.slow
def test_a_state_of_runs_side_by_side_goes_where_runs_must_go_one_after_the_other(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        toy_experiment(tmp_path / "run", runs_per_program="auto")(Interrupting(2))
    assert (tmp_path / "run" / "checkpoints" / "3_to_4" / "state").is_dir()
    toy_experiment(tmp_path / "run", runs_per_program="auto", resident="no")(None)  # it streams
    assert {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()} == {"3", "4"}
    assert RunConfig.read(tmp_path / "run").options["resident"] == "no"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("at", "options"),
    [
        pytest.param(4, {"checkpoint_epochs": 2}, marks=pytest.mark.slow),
        pytest.param(
            3,
            {"schedule": "cosine", "warmup": 0.3, "weight_decay_mode": "coupled", "accumulate": 2, "clip_norm": 1.0},
            marks=pytest.mark.slow,
        ),
        (3, {"stages": 2, "patience": 2, "record_steps": 1, "accumulate": 2}),  # at the end of the first stage
        pytest.param(5, {"stages": 2, "patience": 2}, marks=pytest.mark.slow),  # in the second
    ],
    ids=str,
)
def test_checkpoints_hold_schedules_windows_and_stages(tmp_path, at, options):
    toy_experiment(tmp_path / "straight", seeds=(3,), **options)(None)
    begin = toy_experiment(tmp_path / "resumed", seeds=(3,), **options)
    assert interrupt_and_resume(tmp_path / "resumed", [at], begin) == outcome(tmp_path / "straight")


@pytest.mark.slow
def test_records_that_a_killed_process_wrote_beyond_its_checkpoint_are_dropped(tmp_path):
    options = {"checkpoint_epochs": 2, "record_steps": 2}
    begin = toy_experiment(tmp_path / "run", seeds=(3,), **options)
    with pytest.raises(KeyboardInterrupt):
        begin(Interrupting(4))
    file = tmp_path / "run" / "steps" / "3.jsonl"
    assert [line["epoch"] for line in lines_of(file)] == [1, 1, 2, 2, 3, 3, 4, 4]
    with open(file, "a") as written:
        written.write('{"run": 0, "epo')  # and half a line
    begin(None)
    assert [line["step"] for line in lines_of(file)] == list(range(2, 21, 2))  # each once
    straight = toy_experiment(tmp_path / "straight", seeds=(3,), **options)(None)
    assert outcome(tmp_path / "run") == outcome(straight.path)


@pytest.mark.slow
def test_early_stopping_goes_on_counting_and_keeps_the_best(tmp_path):
    options = {"patience": 3, "max_epochs": 9, "schedule": "plateau", "plateau_patience": 1, "plateau_factor": 0.1}
    begin = [toy_experiment(tmp_path / name, contrary(AUDIO), seeds=(3,), **options) for name in "ab"]
    begin[0](None)
    assert interrupt_and_resume(tmp_path / "b", [3], begin[1]) == outcome(tmp_path / "a")
    result = json.loads((tmp_path / "b" / "result.json").read_text())
    assert (result["runs"][0]["best_epoch"], result["runs"][0]["epochs"]) == (1, 4)


@pytest.mark.slow
def test_self_mm_resumes_with_its_labels(tmp_path):
    dataset, options = tiny_dataset(), {"max_epochs": 4, "checkpoint_epochs": 1}
    train_quick("self_mm", dataset, tmp_path / "straight", options=options)

    def begin(log):
        changes = {**QUICK, **options}
        train("self_mm", dataset, seeds=(1,), out=tmp_path / "resumed", preset="none", log=log, options=changes)

    resumed = interrupt_and_resume(tmp_path / "resumed", [3], begin)
    straight = outcome(tmp_path / "straight")
    assert resumed == straight
    labels = [name for name in straight["arrays"] if name.startswith("labels/1.npz/label_")]
    assert sorted(name[-1] for name in labels) == ["a", "t", "v"]
    assert any(straight["arrays"][name] != straight["arrays"]["labels/1.npz/label"] for name in labels)


def test_a_finished_run_is_not_trained_again(tmp_path):
    begin = toy_experiment(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        begin(Interrupting(7))
    kept = tmp_path / "run" / "checkpoints" / "3"
    before = {path: path.stat().st_mtime_ns for path in kept.rglob("*")}
    assert (kept / "result.json").is_file()
    begin(None)
    assert {path: path.stat().st_mtime_ns for path in kept.rglob("*")} == before


@pytest.mark.slow
def test_an_experiment_that_is_killed_resumes(tmp_path):
    script = (
        "import sys; from pathlib import Path\n"
        "from msa_jax import methods; from msa_jax.train.experiment import train\n"
        "from tests.tiny import TOY, TOY_QUICK, tiny_dataset\n"
        "methods.register(TOY)\n"
        "train('toy', tiny_dataset(modalities=('audio',)), seeds=(3, 4), out=Path(sys.argv[1]), log=None,\n"
        "  record_labels=True,\n"
        "  options={**TOY_QUICK, 'runs_per_program': 1, 'checkpoint_epochs': 1, 'max_epochs': 20, 'patience': 20,\n"
        "  'record_steps': 2})\n"
    )
    killed, log = tmp_path / "killed", tmp_path / "killed" / "metrics.jsonl"
    with subprocess.Popen([sys.executable, "-c", script, str(killed)], cwd=REPOSITORY) as process:
        deadline = time.monotonic() + 100
        while time.monotonic() < deadline and process.poll() is None and not (log.exists() and log.stat().st_size):
            time.sleep(0.005)
        assert log.exists(), "nothing was trained in time"
        time.sleep(random.Random(5).random())  # anywhere in an epoch, a save or the end of a run
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL, "it ended before it was killed"
    options = {"max_epochs": 20, "patience": 20, "record_steps": 2}
    toy_experiment(killed, **options)(None)
    toy_experiment(tmp_path / "straight", **options)(None)
    assert outcome(killed) == outcome(tmp_path / "straight")
    assert not [path for path in killed.rglob("*") if "tmp" in path.name]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["dmmsa", "confede"])
def test_stages_that_are_killed_again_and_again_end_as_if_they_were_not(tmp_path, method):
    script = (
        "import sys; from pathlib import Path; from tests.tiny import tiny_dataset, train_quick\n"
        "train_quick(sys.argv[1], tiny_dataset(), Path(sys.argv[2]), seeds=(1, 2),\n"
        "  options={'checkpoint_epochs': 1, 'max_epochs': 4, 'patience': 4, 'stage_text.max_epochs': 4,\n"
        "  'stage_audio.max_epochs': 2, 'stage_vision.max_epochs': 2})\n"
    )
    killed = tmp_path / "killed"
    command = [sys.executable, "-c", script, method]
    log, seen, moments = killed / "metrics.jsonl", 0, []
    for _ in range(8):
        with subprocess.Popen([*command, str(killed)], cwd=REPOSITORY) as process:
            deadline = time.monotonic() + 200
            while time.monotonic() < deadline and process.poll() is None:
                if log.exists() and len(log.read_text().splitlines()) > seen:
                    break
                time.sleep(0.01)
            time.sleep(2 * random.random())  # anywhere in an epoch, a save, the end of a stage or of a run
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL
        seen = len(log.read_text().splitlines())
        moments.append(seen)
    assert len(moments) > 2, "it was hardly killed"
    for folder in (killed, tmp_path / "straight"):
        if not (folder / "result.json").is_file():
            subprocess.run([*command, str(folder)], cwd=REPOSITORY, check=True)
    assert outcome(killed) == outcome(tmp_path / "straight")


# -- what cannot be resumed -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def interrupted(toy, tmp_path_factory) -> Path:
    """An experiment that was interrupted in its third epoch."""
    folder = tmp_path_factory.mktemp("interrupted") / "run"
    with pytest.raises(KeyboardInterrupt):
        toy_experiment(folder)(Interrupting(3))
    return folder


@pytest.fixture
def unfinished(interrupted, tmp_path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(interrupted, tmp_path / "run"))


def test_other_options_are_refused_and_named(unfinished):
    with pytest.raises(InputError, match=r"another batch_size, learning_rate\.audio; repeat its command"):
        toy_experiment(unfinished, batch_size=6, **{"learning_rate.audio": 0.5})(None)
    with pytest.raises(InputError, match="another seeds"):
        train_toy(unfinished, seeds=(3,), options={"checkpoint_epochs": 1, "max_epochs": 5}, record_labels=True)


def test_another_dataset_is_refused(unfinished):
    options = {**TOY_QUICK, "checkpoint_epochs": 1, "max_epochs": 5, "runs_per_program": 1}
    dataset = tiny_dataset(5, modalities=("audio",))
    with pytest.raises(InputError, match="the dataset is not the one that this experiment began with"):
        train("toy", dataset, seeds=(3, 4), out=unfinished, log=None, options=options, record_labels=True)


def test_what_is_refused_leaves_the_folder_as_it_was_and_the_right_command_still_resumes(unfinished, straight):
    with pytest.raises(InputError):
        toy_experiment(unfinished, batch_size=6)(None)
    toy_experiment(unfinished)(None)
    assert outcome(unfinished) == straight


def test_overwriting_begins_anew(unfinished, tmp_path):
    options = {"checkpoint_epochs": 1, "max_epochs": 2}
    train_toy(unfinished, seeds=(9,), options=options, overwrite=True)
    train_toy(tmp_path / "straight", seeds=(9,), options=options)
    assert outcome(unfinished) == outcome(tmp_path / "straight")


def test_a_checkpoint_of_another_method_is_refused(unfinished, tmp_path):
    changes = {**QUICK, "checkpoint_epochs": 1, "text_encoder": "features"}
    dataset = tiny_dataset(modalities=("text",), text="text")
    named = {"seeds": (3,), "preset": "none", "options": changes}
    with pytest.raises(KeyboardInterrupt):
        train("text_only", dataset, out=tmp_path / "other", log=Interrupting(2), **named)
    state = unfinished / "checkpoints" / "3" / "state"
    os.rename(state, tmp_path / "was")
    os.rename(tmp_path / "other" / "checkpoints" / "3" / "state", state)
    with pytest.raises(InputError, match="state: the checkpoint cannot be read, or is not of this experiment"):
        toy_experiment(unfinished)(None)


@pytest.mark.parametrize("name", ["state/_METADATA", "stage/metadata"])
def test_a_truncated_checkpoint_is_an_input_error(unfinished, name):
    (path,) = (unfinished / "checkpoints" / "3" / "state").glob(f"*/{name}")
    path.write_bytes(path.read_bytes()[:10])
    with pytest.raises(InputError, match="state: the checkpoint cannot be read, or is not of this experiment"):
        toy_experiment(unfinished)(None)


def test_a_checkpoint_is_due_when_it_holds_nothing_up(tmp_path, monkeypatch):
    now, writing = [100.0], [False]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    checkpoints = RunCheckpoints(tmp_path)
    monkeypatch.setattr(checkpoints._manager, "is_saving_in_progress", lambda: writing[0])

    def save(step, args):
        now[0] += 3  # so long the training waits

    monkeypatch.setattr(checkpoints._manager, "save", save)
    first, second = (SimpleNamespace(stage=0, standing=SimpleNamespace(epochs=np.array([n]))) for n in (1, 2))
    monkeypatch.setattr(checkpoints._ocp.args, "StandardSave", lambda state: None)
    assert not checkpoints.is_due("auto", first)  # there is little to lose yet
    now[0] += 10
    assert checkpoints.is_due("auto", first)
    writing[0] = True
    assert not checkpoints.is_due("auto", first)
    writing[0] = False
    checkpoints.save(first)
    for passed, due in ((10, False), (49, False), (1, True)):
        now[0] += passed
        assert checkpoints.is_due("auto", first) == due
    assert [checkpoints.is_due(2, state) for state in (first, second)] == [False, True]
    checkpoints.close()


@pytest.mark.parametrize("seldom", [0.0, 1e9])
def test_how_often_states_are_saved_changes_no_result(straight, tmp_path, monkeypatch, seldom):
    monkeypatch.setattr(checkpoint, "SELDOM", seldom)
    monkeypatch.setattr(checkpoint, "SHARE", 0)
    with pytest.raises(KeyboardInterrupt):
        toy_experiment(tmp_path / "run", checkpoint_epochs="auto")(Interrupting(3))
    assert (any((tmp_path / "run").glob("checkpoints/*/state/[0-9]*"))) == (seldom == 0)
    toy_experiment(tmp_path / "run")(None)  # with the option of `straight`, which may be another one when it goes on
    assert outcome(tmp_path / "run") == straight


@pytest.mark.parametrize(("count", "error"), [(1, InputError), (2, jax.errors.JaxRuntimeError)])
def test_a_process_that_is_lost_is_no_checkpoint_that_does_not_fit(tmp_path, monkeypatch, count, error):
    def lost(*arguments, **named):
        raise jax.errors.JaxRuntimeError("UNAVAILABLE: a process does not answer")

    checkpoints = RunCheckpoints(tmp_path)
    monkeypatch.setattr(processes, "count", lambda: count)
    monkeypatch.setattr(checkpoints._manager, "restore", lost)
    with pytest.raises(error, match="UNAVAILABLE"):
        checkpoints.restore(lambda stage: pytest.fail("not read"))
    checkpoints.close()


@pytest.mark.parametrize("newest", [7, -1])
def test_a_process_that_does_not_see_what_lies_on_the_disk_goes_by_the_first_one(tmp_path, monkeypatch, newest):
    original = checkpoint.os.open

    def opened(path, *rest, **named):
        if str(path) == str(tmp_path / "1" / "state"):
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return original(path, *rest, **named)

    monkeypatch.setattr(checkpoint.os, "open", opened)
    monkeypatch.setattr(processes, "is_primary", lambda: False)
    monkeypatch.setattr(processes, "of_primary", lambda own: np.int32(newest))
    checkpoints = RunCheckpoints(tmp_path / "1")
    read = []
    monkeypatch.setattr(checkpoints._manager, "restore", lambda step, args: read.append(step) or 1 / 0)
    assert checkpoints.empty == (newest < 0)
    with pytest.raises(InputError):
        checkpoints.restore(lambda stage: pytest.fail("not read"))
    assert read == [newest]
    checkpoints.close()
    checkpoints.close()


@pytest.mark.slow
def test_a_process_that_is_killed_while_it_begins_leaves_a_folder_that_can_be_used(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    for name in (".lock", "environment.json", ".config.json.1a2b3c4d-123-5e6f7a8b.msa_jax-part"):
        (folder / name).write_text("{}")
    toy_experiment(folder)(None)
    assert (folder / "result.json").is_file()
