"""A disk that is full, a quota, a folder that is read-only or gone: one line, and the same command goes on once it can."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from msa_jax.cli import main
from msa_jax.data import write_native
from msa_jax.errors import InputError
from msa_jax.testing import tiny_dataset
from msa_jax.train import atomic, checkpoint, orbax_messages
from msa_jax.train.experiment_dir import MetricsFile
from msa_jax.train.model import Variables
from scripts import kills
from tests.paths import REPOSITORY
from tests.safety.commands import TOY_MAIN, errors, start, training
from tests.tiny import toy
from tests.train.kit import Interrupting, outcome, toy_experiment

__all__ = ["toy"]
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
TENSORSTORE = "RESOURCE_EXHAUSTED: Error writing \"x\": Failed to write 356108 bytes [os_error_code='28']"


def raising(error: BaseException):
    def fail(*arguments, **named):
        raise error

    return fail


# -- one file ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_file_for_which_there_is_no_room_is_named_and_the_old_one_stays(tmp_path, monkeypatch, call):
    path = tmp_path / "result.json"
    path.write_text("old")
    monkeypatch.setattr(os, call, raising(FULL))
    with pytest.raises(InputError, match=r"result\.json: cannot be written \(No space left on device\)"):
        atomic.write_text(path, "new")
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["result.json"]


def test_lines_for_which_there_is_no_folder_or_no_room_are_an_input_error(tmp_path):
    with pytest.raises(InputError, match=r"metrics\.jsonl: cannot be written \(No such file or directory\)"):
        MetricsFile(tmp_path / "gone" / "metrics.jsonl").append({"run": 0, "epoch": 1})
    with pytest.raises(InputError, match=r"cannot be written \(No space left on device\)"):
        MetricsFile(Path("/dev/full")).append({"run": 0, "epoch": 1})


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FULL, "No space left on device"),
        (ValueError(TENSORSTORE), "No space left on device"),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), os.strerror(errno.EDQUOT)),
        (OSError(errno.EFBIG, os.strerror(errno.EFBIG)), "File too large"),
        (OSError(errno.EROFS, os.strerror(errno.EROFS)), "Read-only file system"),
    ],
    ids=str,
)
def test_whatever_orbax_makes_of_it_what_the_system_said_is_said(tmp_path, error, reason):
    wrapped = RuntimeError("the thread that writes has failed")
    wrapped.__cause__ = error
    for one in (error, wrapped):
        with pytest.raises(InputError) as caught, orbax_messages.writing(tmp_path / "state"):
            raise one
        assert str(caught.value).startswith(f"{tmp_path / 'state'}: the checkpoint cannot be written ({reason}); ")


def test_other_errors_of_orbax_stay_what_they_are(tmp_path):
    with pytest.raises(ValueError, match="another thing"), orbax_messages.writing(tmp_path):
        raise ValueError("another thing")


def test_parameters_for_which_there_is_no_folder_are_an_input_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"params: the checkpoint cannot be written \(Not a directory\)"):
        checkpoint.save_variables(tmp_path / "file" / "1", Variables({"x": np.zeros(2)}, {}))


def test_orbax_keeps_its_log_to_itself_and_others_do_not(caplog):
    import logging

    inside = Path(orbax_messages.load_orbax().__file__).parent
    for name in ("absl", "asyncio"):
        logger = logging.getLogger(name)
        for path in (inside / "x.py", Path("elsewhere.py")):
            logger.handle(logger.makeRecord(name, logging.ERROR, str(path), 1, f"from {path.name}", (), None))
    assert [record.getMessage() for record in caplog.records] == ["from elsewhere.py"] * 2


def test_what_orbax_reads_to_its_end_after_a_failure_is_not_printed_and_other_errors_of_threads_are(monkeypatch):
    printed = []
    monkeypatch.setattr(sys, "unraisablehook", lambda met: printed.append(met.exc_value))
    orbax_messages.silence_late_answers()
    of_others = [RuntimeError("another"), ValueError("Event loop is closed")]
    for error in (RuntimeError("Event loop is closed"), *of_others):
        sys.unraisablehook(SimpleNamespace(exc_value=error))
    assert printed == of_others


# -- a training -------------------------------------------------------------------------------------------------------


class RemovingFolder(Interrupting):
    """A log that removes the folder of the experiment when the n-th epoch is told of."""

    def __init__(self, epochs: int, folder: Path):
        super().__init__(epochs)
        self._folder = folder

    def write(self, text: str) -> None:
        try:
            super().write(text)
        except KeyboardInterrupt:
            while self._folder.exists():  # a checkpoint is being written into it
                shutil.rmtree(self._folder, ignore_errors=True)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of the threads that wrote it
@pytest.mark.parametrize("epoch", [2, 5])  # in the middle, and the last of a run
def test_a_folder_that_is_removed_while_training_ends_it_and_leaves_no_half_experiment(toy, tmp_path, epoch):
    folder = tmp_path / "run"
    with pytest.raises(InputError, match=r"run/\S+: (the folder was removed|cannot be written|the checkpoint cannot)"):
        toy_experiment(folder, seeds=(3,))(RemovingFolder(epoch, folder))
    assert [path.name for path in folder.rglob("*") if path.suffix in (".json", ".jsonl", ".csv", ".npz")] == []


@pytest.fixture(scope="module")
def stopped(toy, tmp_path_factory) -> Path:
    """An experiment that was interrupted in the second of two runs."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    with pytest.raises(KeyboardInterrupt):
        toy_experiment(folder, max_epochs=2)(Interrupting(3))
    return folder


@pytest.mark.parametrize("name", ["scores.npz", "records.npz"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[: len(whole) // 2],
        *(pytest.param(damage, marks=pytest.mark.slow) for damage in (lambda whole: b"", lambda whole: b"\0" * 500)),
    ],
)
def test_a_damaged_result_of_a_finished_run_is_named(stopped, tmp_path, name, damage):
    folder = Path(shutil.copytree(stopped, tmp_path / "run"))
    file = folder / "checkpoints" / "3" / name
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    with pytest.raises(InputError, match=rf"checkpoints/3/{name}: cannot be read"):
        toy_experiment(folder, max_epochs=2)(None)
    shutil.rmtree(file.parent)  # that run is trained anew, to the same end
    toy_experiment(folder, max_epochs=2)(None)
    assert file.read_bytes() == whole
    assert len(outcome(folder)["result"]["runs"]) == 2


@pytest.fixture(scope="module")
def audio(tmp_path_factory) -> Path:
    """A tiny dataset of audio in a folder."""
    return write_native(tiny_dataset(modalities=("audio",)), tmp_path_factory.mktemp("data") / "audio")


def completed(words: list[str], before: str = "") -> tuple[int, str]:
    """Exit status and standard error of the command with the toy method; `before` runs in its process first."""
    with start(before + TOY_MAIN, *words) as process:
        error = process.communicate(timeout=300)[1]
    return process.returncode, error


@pytest.mark.slow
def test_a_limit_on_the_size_of_files_is_one_line_and_without_it_the_same_command_goes_on(tmp_path, audio):
    limit = 3000  # bytes; a few epochs' lines of metrics, or a checkpoint
    words = training(audio, tmp_path / "run", max_epochs="20")
    limited = (
        f"import os, resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "os.environ['JAX_ENABLE_COMPILATION_CACHE'] = 'false'  # else what JAX keeps there is cut off too\n"
    )
    status, error = completed(words, limited)
    assert status == 2, error
    assert len(errors(error)) == 1
    assert "File too large" in errors(error)[0]
    status, error = completed(words)
    assert (status, errors(error)) == (0, [errors(error)[-1]])


def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A file system in memory; skips the test where none may be mounted."""
    folder.mkdir()
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("only the administrator mounts file systems")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", folder], capture_output=True).returncode != 0:
        pytest.skip("no file system may be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A disk of 4 MiB."""
    yield from mounted(tmp_path / "disk", "size=4m")


@pytest.mark.slow
@pytest.mark.parametrize("room", [8, 40, 80, 160])  # KiB
def test_a_full_disk_is_one_line_and_the_same_command_goes_on_once_there_is_room(small_disk, tmp_path, audio, room):
    filler = small_disk / "filler"
    filler.write_bytes(bytes((4096 - room) * 1024))
    words = training(audio, small_disk / "run")
    status, error = completed(words)
    assert status == 2, error
    assert len(errors(error)) == 1
    assert "No space left on device" in errors(error)[0]
    filler.unlink()
    for out in (small_disk / "run", tmp_path / "straight"):
        status, error = completed(training(audio, out))
        assert status == 0, error
    assert kills.contents(small_disk / "run") == kills.contents(tmp_path / "straight")
    assert kills.temporary(small_disk / "run") == []


def test_a_read_only_folder_is_one_line(tmp_path, toy, audio, capsys):
    for folder in mounted(tmp_path / "disk", "ro"):
        assert main([*training(audio, folder / "run"), "--quiet"]) == 2
        assert capsys.readouterr().err == f"msa-jax: {folder / 'run'}: cannot be written (Read-only file system)\n"


# -- other things that are not there ----------------------------------------------------------------------------------


def run(*words: str, **environment: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "msa_jax", *words]
    done = subprocess.run(command, cwd=REPOSITORY, env={**os.environ, **environment}, capture_output=True, text=True)
    return done.returncode, done.stderr


@pytest.mark.slow
@pytest.mark.skipif(find_spec("jax_cuda13_plugin") is not None, reason="JAX has CUDA here")
def test_a_device_that_jax_has_no_plugin_for_says_what_to_install(tmp_path):
    words = ["train", "text_only", "--data", "synthetic", "--text-encoder", "scratch", "--quiet"]
    status, error = run(*words, "--out", str(tmp_path / "run"), JAX_PLATFORMS="cuda")
    assert status == 2
    assert len(error.splitlines()) == 1
    assert error.startswith("msa-jax: JAX_PLATFORMS is cuda: JAX finds no such device")
    assert "pip install '.[cuda]'" in error
    assert not (tmp_path / "run").exists()


def test_standard_output_that_cannot_be_written_is_one_line():
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "msa_jax", "methods"]
        done = subprocess.run(command, cwd=REPOSITORY, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "No space left on device" in done.stderr
