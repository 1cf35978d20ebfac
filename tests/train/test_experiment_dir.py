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
