"""An experiment's folder: one process at a time writes it, emptying it, its metrics, what it ran on."""

import errno
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from msa_jax.errors import InputError
from msa_jax.train import environment, experiment_dir


def names(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


# -- the lock ---------------------------------------------------------------------------------------------------------


def test_another_process_cannot_hold_a_held_folder(tmp_path):
    holder = (
        "import sys\nfrom pathlib import Path\nfrom msa_jax.train.experiment_dir import locked\n"
        "with locked(Path(sys.argv[1])):\n print('held', flush=True)\n sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        with (
            pytest.raises(InputError, match="another process is writing this experiment"),
            experiment_dir.locked(tmp_path),
        ):
            pass
        process.kill()  # the system lets go of it
    with experiment_dir.locked(tmp_path):
        assert (tmp_path / ".lock").exists()


def test_the_folder_is_free_again_after_an_error(tmp_path):
    with pytest.raises(RuntimeError), experiment_dir.locked(tmp_path):
        raise RuntimeError
    with experiment_dir.locked(tmp_path):
        pass


def test_a_folder_in_which_nothing_was_begun_stays_as_it_was(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    with pytest.raises(InputError), experiment_dir.locked(tmp_path / "mine"):
        raise InputError
    with pytest.raises(InputError), experiment_dir.locked(tmp_path / "new"):
        raise InputError
    assert names(tmp_path) == {"mine"}
    assert names(tmp_path / "mine") == {"thesis.txt"}


def test_a_lock_that_was_removed_under_a_waiting_process_is_not_taken_for_the_folders(tmp_path, monkeypatch):
    # The holder removes the lock between our opening it and our locking it.
    flock = experiment_dir.fcntl.flock

    def late(file, how):
        (tmp_path / ".lock").unlink()
        flock(file, how)

    monkeypatch.setattr(experiment_dir.fcntl, "flock", late)
    with pytest.raises(InputError, match="another process"), experiment_dir.locked(tmp_path):
        pass


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def refuse(file, how):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(experiment_dir.fcntl, "flock", refuse)
    with (
        pytest.raises(InputError, match=r"its file system keeps no locks .*choose an --out"),
        experiment_dir.locked(tmp_path),
    ):
        pass


@pytest.mark.parametrize("deleted", range(1, 5))
def test_a_folder_that_is_partly_cleared_is_neither_finished_nor_something_else(tmp_path, monkeypatch, deleted):
    content = {"method": "toy", "protocol": "paper", "dataset": "tiny", "seeds": [1], "options": {}}
    (tmp_path / "config.json").write_text(json.dumps(content))
    for name in ("environment.json", "metrics.jsonl", "result.json", "report.html"):
        (tmp_path / name).write_text("{}")
    left = iter(range(deleted))
    unlink = Path.unlink

    def unlink_some(path):
        if next(left, None) is None:
            raise KeyboardInterrupt
        unlink(path)

    monkeypatch.setattr(Path, "unlink", unlink_some)
    with pytest.raises(KeyboardInterrupt):
        experiment_dir.clear(tmp_path)
    assert names(tmp_path) >= {"config.json"}
    assert "result.json" not in names(tmp_path)
    assert ("environment.json" in names(tmp_path)) == (deleted < 4)


@pytest.mark.parametrize("where", ["file", "file/below"])
def test_a_folder_that_cannot_be_made_is_an_input_error(tmp_path, where):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(InputError, match="cannot be written"), experiment_dir.locked(tmp_path / where):
        pass
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize("name", ["a[1]", "b*", "c?"])
def test_a_folder_under_which_orbax_writes_empty_checkpoints_is_refused(tmp_path, name):
    with (
        pytest.raises(InputError, match="no checkpoint can be written"),
        experiment_dir.locked(tmp_path / name / "run"),
    ):
        pass
    assert names(tmp_path) == set()


def test_a_folder_that_may_not_be_written_is_an_input_error(tmp_path, monkeypatch):
    def refused(path, *_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", refused)  # root may write everywhere
    with pytest.raises(InputError, match="cannot be written"), experiment_dir.locked(tmp_path / "x"):
        pass


# -- emptying ---------------------------------------------------------------------------------------------------------


OURS = json.dumps({"method": "tfn", "protocol": "paper", "dataset": "mosi", "seeds": [1], "options": {}})


def test_an_experiment_is_emptied_but_for_the_lock(tmp_path):
    for name in ("config.json", "result.json", ".lock", ".result.json.1a2b3c4d-123-5e6f7a8b.msa_jax-part"):
        (tmp_path / name).write_text(OURS)
    (tmp_path / "checkpoints" / "1").mkdir(parents=True)
    experiment_dir.clear(tmp_path)
    assert names(tmp_path) == {".lock"}


def test_what_is_left_of_emptying_that_was_killed_is_emptied(tmp_path, monkeypatch):
    for name in ("config.json", "result.json", "metrics.jsonl"):
        (tmp_path / name).write_text(OURS)
    (tmp_path / "labels").mkdir()
    for limit in range(2):  # as many deletions, then the end
        left = iter(range(limit))

        def unlink(path, left=left):
            next(left)
            os.unlink(path)

        monkeypatch.setattr(Path, "unlink", unlink)
        with pytest.raises(StopIteration):
            experiment_dir.clear(tmp_path)
        monkeypatch.undo()
        assert "config.json" in names(tmp_path)
    experiment_dir.clear(tmp_path)
    assert names(tmp_path) == set()


@pytest.mark.parametrize(
    "others",
    [
        {"thesis.txt": ""},
        {"config.json": '{"model_type": "bert"}', "model.safetensors": "weights"},  # a text encoder
        {"config.json": "{", "result.json": "{}"},
        {"config.json": "[]"},
        {"config.json": OURS, "thesis.txt": ""},
        {"config.json": OURS, ".git": ""},
        {"config.json": OURS, ".result.json": ""},
    ],
)
def test_what_is_not_an_experiment_is_not_emptied(tmp_path, others):
    for name, content in others.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match="not overwritten"):
        experiment_dir.clear(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == others


def test_what_a_link_in_an_experiment_leads_to_is_not_deleted(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "weights").write_text("")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(OURS)
    (tmp_path / "run" / "checkpoints").symlink_to(tmp_path / "kept")
    experiment_dir.clear(tmp_path / "run")
    assert names(tmp_path / "run") == set()
    assert names(tmp_path / "kept") == {"weights"}


def test_what_an_experiment_leaves_that_is_killed_while_it_begins_is_no_other_thing(tmp_path):
    for name in (".lock", "environment.json", ".config.json.1a2b3c4d-123-5e6f7a8b.msa_jax-part"):
        (tmp_path / name).write_text("")
    assert not experiment_dir.holds_other_things(tmp_path)
    experiment_dir.clear(tmp_path)
    assert names(tmp_path) == {".lock"}


# -- the format -------------------------------------------------------------------------------------------------------

BEGUN = {"method": "toy", "protocol": "paper", "dataset": "tiny", "seeds": [1], "options": {"batch_size": 4}}


def test_a_folder_says_its_format_and_one_of_an_older_format_goes_on_in_this_one(tmp_path):
    file = tmp_path / "config.json"
    experiment_dir.begin(tmp_path, BEGUN, {}, defaults={})
    assert json.loads(file.read_text()) == {"format": 2, **BEGUN}
    experiment_dir.begin(tmp_path, BEGUN, {}, defaults={})  # goes on
    for older in (BEGUN, {"format": 1, **BEGUN}):  # the first is of a version that wrote no number
        file.write_text(json.dumps(older))
        experiment_dir.begin(tmp_path, BEGUN, {}, defaults={})
        assert json.loads(file.read_text()) == {"format": 2, **BEGUN}


def test_whether_a_state_stays_is_as_the_last_command_says(tmp_path):
    for keep in (False, True):
        experiment_dir.begin(tmp_path, {**BEGUN, "keep_state": keep}, {}, defaults={})
        assert json.loads((tmp_path / "config.json").read_text())["keep_state"] is keep


@pytest.mark.parametrize(("number", "message"), [(3, "newer msa_jax"), (0, "whole number"), (True, "whole number")])
def test_a_folder_of_a_newer_format_is_refused_and_left_as_it_is(tmp_path, number, message):
    file = tmp_path / "config.json"
    experiment_dir.begin(tmp_path, BEGUN, {}, defaults={})
    file.write_text(json.dumps({"format": number, **BEGUN}))
    with pytest.raises(InputError, match=rf"config\.json: format .*{message}"):
        experiment_dir.begin(tmp_path, BEGUN, {}, defaults={})
    assert json.loads(file.read_text())["format"] is number


# -- metrics.jsonl ----------------------------------------------------------------------------------------------------


def line(run: int, epoch: int, **more) -> dict:
    return {"run": run, "epoch": epoch, **more}


def test_rewinding_drops_the_later_epochs_of_that_run_only_and_half_a_line(tmp_path):
    log = experiment_dir.MetricsFile(tmp_path / "metrics.jsonl")
    for run in (0, 1):
        for epoch in (1, 2, 3):
            log.append(line(run, epoch))
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"run": 1, "epo')
    log.rewind(1, 1)
    assert log.read() == [line(0, 1), line(0, 2), line(0, 3), line(1, 1)]
    log.append(line(1, 2))
    assert log.read()[-1] == line(1, 2)


def test_metrics_that_are_not_numbers_are_null(tmp_path):
    log = experiment_dir.MetricsFile(tmp_path / "metrics.jsonl")
    log.append(line(0, 1, valid={"Corr": math.nan}))
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == line(0, 1, valid={"Corr": None})


def test_a_file_that_is_not_there_holds_no_metrics(tmp_path):
    assert experiment_dir.MetricsFile(tmp_path / "metrics.jsonl").read() == []


# -- the environment --------------------------------------------------------------------------------------------------


def test_the_environment_tells_what_a_run_depends_on():
    found = environment.environment({"train/label": "abc"})
    assert found["dataset_sha256"] == {"train/label": "abc"}
    assert {"python", "jax", "flax", "optax", "numpy"} <= found["versions"].keys()
    assert found["devices"][0].startswith("cpu")
    assert found["command"]
    assert "commit" in found
    json.dumps(found, allow_nan=False)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not there")
def test_the_commit_says_whether_files_differ_and_asking_for_it_writes_nothing_into_the_checkout(tmp_path):
    def git(*words: str) -> str:
        own = ["-c", "user.name=A", "-c", "user.email=a@b.c"]
        return subprocess.run(
            ["git", *own, "-C", str(tmp_path), *words], check=True, capture_output=True, text=True
        ).stdout.strip()

    assert environment.commit(tmp_path) is None
    git("init", "--quiet")
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "--quiet", "-m", "first")
    os.utime(tmp_path / "file", (1, 1))  # `git status` would note in its index that only the time differs
    before = (tmp_path / ".git" / "index").read_bytes()
    assert environment.commit(tmp_path) == git("rev-parse", "HEAD")
    assert (tmp_path / ".git" / "index").read_bytes() == before
    (tmp_path / "file").write_text("two")
    assert environment.commit(tmp_path) == git("rev-parse", "HEAD") + "+changes"


# -- the result of a run ----------------------------------------------------------------------------------------------


def write_result(folder, content=None, scores=None, records=None):
    """As a run leaves it, with these parts in the place of its own."""
    good = {"seed": 1, "best_epoch": 2, "epochs": 3, "valid": {"MAE": 1.0}, "test": {"MAE": None}}
    (folder / "result.json").write_text(json.dumps({**good, **(content or {})}))
    own = {"valid/prediction": np.zeros(2, np.float32), "test/prediction": np.ones(3, np.float32)}
    np.savez(folder / "scores.npz", **(own if scores is None else scores))
    np.savez(folder / "records.npz", **(records or {}))


def test_the_result_of_a_run_is_read(tmp_path):
    write_result(tmp_path, records={"label_t": np.zeros(4)})
    found = experiment_dir.load_result(tmp_path)
    assert (found.seed, found.best_epoch, found.epochs, found.test) == (1, 2, 3, {"MAE": None})
    assert found.scores["test"]["prediction"].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    "damage",
    [
        {"content": {"seed": "1"}},
        {"content": {"epochs": True}},
        {"content": {"valid": []}},
        {"content": {"test": {"MAE": "1"}}},
        {"scores": {"prediction": np.zeros(2)}},
        {"scores": {"valid/prediction": np.zeros(2), "test/prediction": np.array(["a"])}},
        {"scores": {"valid/prediction": np.zeros(2), "test/prediction": np.ones(())}},
        {"scores": {"valid/prediction": np.zeros(2)}},
    ],
)
def test_a_damaged_result_of_a_run_is_an_input_error_that_names_its_file(damage, tmp_path):
    write_result(tmp_path, **damage)
    with pytest.raises(InputError, match=r"^.*/(result\.json|scores\.npz): "):
        experiment_dir.load_result(tmp_path)


@pytest.mark.parametrize(
    "line", ["[]", '{"run": "0", "epoch": 1}', '{"epoch": 1}', '{"run": 0, "epoch": 1, "seconds": "x"}']
)
def test_a_line_that_is_of_no_run_is_an_input_error_that_names_it(line, tmp_path):
    (tmp_path / "metrics.jsonl").write_text(f'{{"run": 0, "epoch": 1, "seconds": 2}}\n{line}\n')
    with pytest.raises(InputError, match=r"metrics\.jsonl: line 2: not of a run"):
        experiment_dir.MetricsFile(tmp_path / "metrics.jsonl").read()
