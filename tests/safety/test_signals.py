"""Ctrl-C and SIGTERM end the command at once, with one line, at any moment; the same command then goes on."""

import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from msa_jax import signals
from msa_jax.cli import main
from msa_jax.data import write_native
from msa_jax.testing import tiny_dataset
from msa_jax.train.checkpoint import save_variables
from msa_jax.train.model import Variables
from scripts import kills
from tests.safety.commands import TOY_MAIN, errors, start, training

ENDINGS = [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated"), (signal.SIGHUP, 129, "hung up")]
READY = "print('ready', flush=True)\n"
BUSY = {  # what the main thread may be doing
    "computing": "while True: pass",
    "waiting": "import time; time.sleep(60)",
    "outside Python": "import hashlib; hashlib.pbkdf2_hmac('sha256', b'x', b'x', 200_000_000)",
    "swallowing exceptions": (
        "import time\nwhile True:\n  try: time.sleep(60)\n  except BaseException: print('swallowed', flush=True)"
    ),
    "in callbacks of the garbage collector": (
        "import gc, time\ngc.callbacks.append(lambda *_: time.sleep(0.2))\nwhile True: gc.collect()"
    ),
    "ending": "import atexit, time\natexit.register(time.sleep, 60)\nraise SystemExit(0)",
}


@pytest.mark.parametrize(("number", "status", "word"), ENDINGS, ids=str)
@pytest.mark.parametrize("doing", BUSY)
def test_whatever_a_command_is_doing_it_ends_at_once_and_says_so(doing, number, status, word):
    with start(f"from msa_jax import signals\nsignals.take_over()\n{READY}{BUSY[doing]}") as process:
        assert process.stdout.readline() == "ready\n"
        begun = time.monotonic()
        process.send_signal(number)
        output, error = process.communicate(timeout=30)
        assert time.monotonic() - begun < 10
    assert (process.returncode, output) == (status, "")
    assert error.startswith(f"msa-jax: {word}; what is done is kept, and the same command goes on")
    assert len(error.splitlines()) == 1


def test_a_signal_that_was_ignored_stays_ignored():
    ignored = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"  # as `nohup` and `&` do
    with start(
        f"{ignored}from msa_jax import signals\nsignals.take_over()\n{READY}import time; time.sleep(1)"
    ) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 0


def test_a_forked_process_has_the_usual_signals_and_does_not_end_its_parent():
    code = (
        "import os, signal, time\nfrom msa_jax import signals\nsignals.take_over()\nchild = os.fork()\n"
        "if child == 0: time.sleep(60)\n"
        "time.sleep(0.2)\nos.kill(child, signal.SIGTERM)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    with start(code) as process:
        output, error = process.communicate(timeout=30)
    assert (process.returncode, output, error) == (0, f"{-signal.SIGTERM}\n", "")


def test_what_is_not_whole_is_deleted(tmp_path):
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom msa_jax import signals\nsignals.take_over()\n"
        "done, part, folder = (Path(sys.argv[1]) / name for name in ('done', 'part', 'folder'))\n"
        "with signals.unfinished(done): done.touch()\n"
        "with signals.unfinished(part), signals.unfinished(folder):\n"
        f"  part.touch(); folder.mkdir(); (folder / 'x').touch(); {READY}  time.sleep(60)"
    )
    with start(code, str(tmp_path)) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 130
    assert [path.name for path in tmp_path.iterdir()] == ["done"]


def test_a_folder_that_is_being_deleted_is_never_put_in_place(tmp_path):
    code = (
        "import hashlib, os, shutil, sys, time\nfrom pathlib import Path\nfrom msa_jax import signals, whole_files\n"
        "def slowly(path, ignore_errors=False):\n"
        "  for file in Path(path).iterdir(): file.unlink(); time.sleep(1)\n"
        "shutil.rmtree = slowly\nsignals.take_over()\n"
        "with whole_files.new_folder(Path(sys.argv[1], 'made')) as part:\n"
        "  for name in 'abc': (part / name).touch()\n"
        f"  {READY}  hashlib.pbkdf2_hmac('sha256', b'x', b'x', 2_000_000)\n"  # the main thread hears nothing meanwhile
    )
    with start(code, str(tmp_path)) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        error = process.communicate(timeout=60)[1]
    assert (process.returncode, len(error.splitlines())) == (143, 1)
    assert "made" not in {path.name for path in tmp_path.iterdir()}


def test_a_folder_that_was_put_in_place_at_that_moment_is_whole(tmp_path):
    part, folder, aside = (tmp_path / name for name in ("part", "folder", "aside"))
    part.mkdir()
    (part / "file").touch()
    with signals.unfinished(part, aside):
        part.rename(folder)  # another thread, as the signal comes
        with pytest.raises(FileNotFoundError):
            signals._unfinished[part]()
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["folder", "folder/file"]


def test_a_second_signal_ends_nothing_twice(tmp_path):
    code = (
        "import os, shutil, signal, sys, time\nfrom msa_jax import signals\nsignals.take_over()\n"
        "shutil.rmtree = lambda path, ignore_errors=False: (print('deleting', flush=True), time.sleep(1))\n"
        f"with signals.unfinished(sys.argv[1]): {READY}  time.sleep(60)"
    ).replace(": print", ":\n  print")
    with start(code, str(tmp_path)) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "deleting\n"
        process.send_signal(signal.SIGTERM)
        output, error = process.communicate(timeout=30)
    assert (process.returncode, output, len(error.splitlines())) == (130, "", 1)


def test_a_notebook_that_calls_the_command_keeps_its_own_signals(capsys):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    assert main(["methods"]) == 0
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    thread = threading.Thread(target=signals.take_over)  # nor can anything but a main thread change them
    thread.start()
    thread.join()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_the_command_hears_signals_before_it_imports_anything_slow():
    code = (
        "import sys\nfrom msa_jax import __main__, signals\n"
        "signals.take_over = lambda: sys.exit(f'{sorted({name.split(chr(46))[0] for name in sys.modules})}')\n"
        "__main__.main()"
    )
    with start(code) as process:
        error = process.communicate(timeout=30)[1]
    assert "msa_jax" in error
    assert not {"argparse", "json", "numpy", "jax"} & set(error.strip("[]\n").replace("'", "").split(", "))


@pytest.fixture(scope="module")
def audio(tmp_path_factory) -> Path:
    """A tiny dataset of audio in a folder."""
    return write_native(tiny_dataset(modalities=("audio",)), tmp_path_factory.mktemp("data") / "audio")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status", "word"), [ENDINGS[0], pytest.param(*ENDINGS[1], marks=pytest.mark.slow)], ids=str
)
def test_a_training_ends_and_the_same_command_goes_on_to_the_same_end(tmp_path, audio, number, status, word):
    with start(TOY_MAIN, *training(audio, tmp_path / "killed", max_epochs="8")) as process:
        for line in process.stderr:
            if "epoch   3" in line:
                break
        process.send_signal(number)
        output, error = process.communicate(timeout=300)
    assert (process.returncode, output) == (status, "")
    assert [line.split(";")[0] for line in errors(error)] == [f"msa-jax: {word}"]
    for name in ("killed", "straight"):  # the same command, and one that nothing disturbs
        with start(TOY_MAIN, *training(audio, tmp_path / name, max_epochs="8")) as process:
            error = process.communicate(timeout=300)[1]
        assert process.returncode == 0, error
    assert kills.contents(tmp_path / "killed") == kills.contents(tmp_path / "straight")
    assert kills.temporary(tmp_path / "killed") == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("delay", [0, 0.5, 1, 2, 4, 8])
def test_no_moment_of_a_start_is_deaf(tmp_path, audio, delay, number):
    with start(TOY_MAIN, *training(audio, tmp_path / "run", max_epochs="1000")) as process:
        while not kills.hears(process.pid):  # until then Python itself starts, and dies in its own way
            assert process.poll() is None
            time.sleep(0.001)
        time.sleep(delay)
        begun = time.monotonic()
        process.send_signal(number)
        error = process.communicate(timeout=300)[1]
        assert time.monotonic() - begun < 10
    assert process.returncode == 128 + number
    assert len(errors(error)) == 1


# -- what `scripts/kills` sees -----------------------------------------------------------------------------------------


class Terminates:
    """In the place of random numbers: SIGTERM, as soon as the command is there."""

    def choice(self, signals):
        return signal.SIGTERM

    def random(self):
        return 1.0

    def uniform(self, low, high):
        return 0.0

    def randrange(self, stop):
        return 0


class Started(kills.Job):
    """A command that runs already."""

    def __init__(self):
        self.name, self.seconds = "some", 1.0


@pytest.mark.parametrize(("goes_on", "fault"), [(2, "went on after the signal"), (0.1, None)])
def test_a_command_that_swallows_a_signal_is_a_fault_unless_it_was_just_ending(tmp_path, goes_on, fault):
    deaf = f"import signal, time\nsignal.signal(signal.SIGTERM, lambda *_: None)\n{READY}time.sleep({goes_on})"
    with start(deaf) as process:
        assert process.stdout.readline() == "ready\n"
        kill = Started()._kill(process, tmp_path, Terminates())
    assert process.returncode == 0
    assert (kill and kill.fault) == fault


def test_one_changed_parameter_is_another_content_and_so_is_a_damaged_file(tmp_path):
    kernel = np.arange(6, dtype=np.float32).reshape(2, 3)
    for name, value in (("straight", 0.0), ("same", 0.0), ("other", 1e-6)):
        changed = kernel + np.float32(value) * (kernel == 1)
        save_variables(tmp_path / name / "checkpoints" / "1", Variables(params={"head/kernel": changed}, statistics={}))
    straight, same, other = (kills.contents(tmp_path / name) for name in ("straight", "same", "other"))
    (name,) = straight
    assert name == "checkpoints/1/params.json/params/head/kernel"
    assert straight == same != other
    (tmp_path / "same" / "checkpoints" / "1" / "params" / "_METADATA").unlink()
    assert kills.contents(tmp_path / "same") != straight


def test_what_is_not_whole_is_found(tmp_path):
    unfinished = {"params.orbax-checkpoint-tmp-1", ".state.gone", ".result.json.1a2b3c4d-123-5e6f7a8b.msa_jax-part"}
    for name in (*unfinished, "state", ".lock", "result.json"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    assert set(kills.temporary(tmp_path)) == unfinished


@pytest.mark.slow
def test_a_few_random_kills_change_nothing():
    found = kills.run(["self_mm", "sweep"], count=8, seed=1, jobs=1)
    assert sum(bool(kill.signal) for kill in found) >= 8
    assert [kill for kill in found if kill.fault is not None] == []
