"""Several processes as one program: the same numbers as in one process, one that writes, and an end where one is lost."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from msa_jax.data import write_native
from msa_jax.errors import InputError
from msa_jax.report.studies import reproduce
from msa_jax.train import processes
from msa_jax.train.sweep import sweep
from tests.paths import REPOSITORY
from tests.tiny import TOY_QUICK, tiny_dataset, train_quick, train_toy
from tests.train.kit import AUDIO

pytestmark = pytest.mark.usefixtures("toy")

# On a terminal, where a process alone would walk an epoch in parts to draw how far it is.
COMMAND = """
import sys
from msa_jax import cli, methods
from tests.tiny import TOY
methods.register(TOY)
sys.stderr.isatty = lambda: True
sys.exit(cli.main())
"""


class Together:
    """A command in two processes with a device each, that meet at a free port."""

    def __init__(self, *words: str, script: str = COMMAND):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "1"}
        command = [sys.executable, "-c", script, *words, "--distributed", "--coordinator", address, "--processes", "2"]
        self.members = [
            subprocess.Popen(
                [*command, "--process", str(number)],
                cwd=REPOSITORY,
                env=environment,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            for number in range(2)
        ]

    def end(self, seconds: float = 240) -> list[tuple[int, str, str]]:
        """Exit status, standard output and standard error of each."""
        found = []
        try:
            for member in self.members:
                out, err = member.communicate(timeout=seconds)
                # What carries the collectives of CPUs writes to standard output that it is there.
                out = "".join(line for line in out.splitlines(keepends=True) if not line.startswith("[Gloo]"))
                found.append((member.returncode, out, err))
        finally:
            for member in self.members:
                member.kill()
        return found


def words(out: Path, data: Path, method: str = "toy", seeds: str = "1 2", **options) -> list[str]:
    named = {**TOY_QUICK, **options} if method == "toy" else options
    flags = [word for name, value in named.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    return ["train", method, "--data", str(data), "--seeds", *seeds.split(), "--out", str(out), *flags]


def ended_well(found: list[tuple[int, str, str]]) -> None:
    assert [status for status, _, _ in found] == [0, 0], found[0][2][-2000:] + found[1][2][-2000:]


def scores(experiment: Path, split: str = "test") -> np.ndarray:
    """[N, columns] of the predictions that were written."""
    return np.genfromtxt(experiment / "predictions" / f"{split}.csv", delimiter=",", skip_header=1)[:, 2:]


@pytest.fixture(scope="module")
def audio(tmp_path_factory) -> Path:
    return write_native(AUDIO, tmp_path_factory.mktemp("data") / "audio")


# 24 rows in batches of 7: neither a batch nor the last one can be halved.
@pytest.mark.slow
@pytest.mark.parametrize("options", [{"data_devices": 2}, {}, {"data_devices": 2, "resident": "no"}], ids=str)
def test_two_processes_are_one(tmp_path, audio, options):
    found = Together(*words(tmp_path / "two", audio, **options)).end()
    ended_well(found)
    alone = train_toy(tmp_path / "one", AUDIO, seeds=(1, 2), options={"runs_per_program": 1})
    for split in ("valid", "test"):
        np.testing.assert_allclose(scores(tmp_path / "two", split), scores(alone.path, split), atol=1e-5)
    # The first writes and talks.
    assert "mean ± sample standard deviation" in found[0][1]
    assert not found[1][1]
    assert "epoch" not in found[1][2]
    assert len((tmp_path / "two" / "metrics.jsonl").read_text().splitlines()) == 8
    assert json.loads((tmp_path / "two" / "environment.json").read_text())["processes"] == 2
    # Runs side by side, one in each process, where a mini-batch is not split.
    together = json.loads((tmp_path / "two" / "config.json").read_text())["runs_per_program"]
    assert together == (1 if options else 2)


@pytest.mark.slow
def test_runs_that_stop_at_different_epochs_in_two_processes(tmp_path, audio):
    options = {"max_epochs": 14, "patience": 2, "learning_rate.audio": 0.1, "learning_rate.other": 0.1}
    ended_well(Together(*words(tmp_path / "two", audio, **options)).end())
    alone = train_toy(tmp_path / "one", AUDIO, seeds=(1, 2), options={**options, "runs_per_program": 1})
    assert len({run.epochs for run in alone.runs}) == 2
    found = json.loads((tmp_path / "two" / "result.json").read_text())
    assert [run["epochs"] for run in found["runs"]] == [run.epochs for run in alone.runs]
    np.testing.assert_allclose(scores(tmp_path / "two"), scores(alone.path), atol=1e-5)


def test_processes_go_by_the_same_numbers():
    script = """
import sys
import numpy as np
from msa_jax.train import processes
processes.join(sys.argv[3], int(sys.argv[5]), int(sys.argv[7]))
own = int(sys.argv[7])
print(processes.least((5 - own) * 2**40 + 7), processes.of_primary(np.float32([own, np.nan])))
"""
    found = Together(script=script).end()
    ended_well(found)
    assert [out.strip() for _, out, _ in found] == [f"{4 * 2**40} [ 0. nan]"] * 2


def test_whatever_a_file_system_says_to_the_first_process_ends_all(monkeypatch):
    told = []
    monkeypatch.setattr(processes, "count", lambda: 2)
    monkeypatch.setattr(
        processes.multihost_utils, "broadcast_one_to_all", lambda message: told.append(bytes(message)) or message
    )

    def full() -> None:
        raise OSError(28, "No space left on device", "somewhere/config.json")

    with pytest.raises(InputError, match=r"^somewhere/config.json: No space left on device$"):
        processes.run_on_primary(full)
    assert told[0].startswith(b"somewhere/config.json: No space")


@pytest.mark.slow
def test_each_process_holds_the_rows_of_its_own():
    script = """
import sys
import numpy as np
from msa_jax.train import processes
from msa_jax.train.runs import Layout
processes.join(sys.argv[3], int(sys.argv[5]), int(sys.argv[7]))
read = []
class Rows(np.ndarray):
    def __getitem__(self, index):
        if isinstance(index, np.ndarray): read.extend(index.tolist())
        return np.asarray(self)[index]
column = np.arange(14.0).reshape(7, 2).view(Rows)
placed = Layout(2).shard_rows({"x": column}, 1)["x"]
assert placed.shape == (8, 2)
print([shard.data[:, 0].tolist() for shard in placed.addressable_shards], sorted(set(read)))
"""
    found = Together(script=script).end()
    ended_well(found)
    assert [out.strip() for _, out, _ in found] == [
        "[[0.0, 2.0, 4.0, 6.0]] [0, 1, 2, 3]",
        "[[8.0, 10.0, 12.0, 0.0]] [0, 4, 5, 6]",  # a row is added, so that both have as many
    ]


def test_what_runs_in_one_process_says_so(monkeypatch):
    monkeypatch.setattr(processes, "count", lambda: 2)
    with pytest.raises(InputError, match="a sweep runs in one process, and there are 2"):
        sweep("toy", AUDIO, grid={"dropout": [0.1, 0.2]})
    with pytest.raises(InputError, match="a study runs in one process"):
        reproduce("self_mm.table4", AUDIO)


@pytest.mark.slow
def test_packed_text_and_labels_of_self_mm_in_two_processes(tmp_path):
    dataset = tiny_dataset()
    data = write_native(dataset, tmp_path / "data")
    alone = train_quick("self_mm", dataset, tmp_path / "one", seeds=(1,), options={"batch_size": 7})
    options = json.loads((alone.path / "config.json").read_text())["options"]
    options = {name: value for name, value in options.items() if not isinstance(value, list) and value is not None}
    ended_well(Together(*words(tmp_path / "two", data, "self_mm", "1", **{**options, "data_devices": 2})).end())
    np.testing.assert_allclose(scores(tmp_path / "two"), scores(alone.path), atol=1e-4)


@pytest.mark.slow
def test_an_experiment_of_one_process_goes_on_in_two(tmp_path, audio):
    options = {"data_devices": 1}
    path = train_toy(tmp_path / "run", AUDIO, options={**options, "max_epochs": 2}, keep_state=True).path
    more = ["--max-epochs", "4", "--data-devices", "2"]
    ended_well(Together("resume", str(path), "--data", str(audio), *more).end())
    straight = train_toy(tmp_path / "straight", AUDIO, options=options)
    np.testing.assert_allclose(scores(path), scores(straight.path), atol=1e-5)
    assert len((path / "metrics.jsonl").read_text().splitlines()) == 4


LONG = {"max_epochs": 60, "patience": 60, "checkpoint_epochs": 2, "data_devices": 2}


def in_the_middle(folder: Path, data: Path) -> Together:
    """A long training that has a checkpoint."""
    log = folder / "run" / "metrics.jsonl"
    pair = Together(*words(folder / "run", data, seeds="3", **LONG))
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (log.exists() and len(log.read_text().splitlines()) > 2):
        assert all(member.poll() is None for member in pair.members), pair.end()
        time.sleep(0.02)
    assert log.exists(), pair.end()
    return pair


def ends_as_a_straight_run(folder: Path) -> None:
    """Goes on with the training on one device, in a process alone."""
    changes = {**LONG, "data_devices": 1}
    moved = train_toy(folder / "run", AUDIO, seeds=(3,), options=changes)
    straight = train_toy(folder / "straight", AUDIO, seeds=(3,), options=changes)
    np.testing.assert_allclose(scores(moved.path), scores(straight.path), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_cluster_that_tells_all_processes_to_end_is_heard_by_each(tmp_path, audio, number):
    pair = in_the_middle(tmp_path, audio)
    for member in pair.members:
        member.send_signal(number)
    for status, _, errors in pair.end(20):
        assert status == 128 + number, errors[-2000:]
        assert errors.splitlines()[-1].endswith("what is done is kept, and the same command goes on")
    ends_as_a_straight_run(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("lost", [1, 0])
def test_a_lost_process_ends_the_other_and_the_experiment_resumes(tmp_path, audio, lost):
    pair = in_the_middle(tmp_path, audio)
    pair.members[lost].send_signal(signal.SIGKILL)
    begun = time.monotonic()
    found = pair.end(60)
    assert time.monotonic() - begun < 60
    status, _, errors = found[1 - lost]
    if status == 3:
        assert "another process was lost" in errors.splitlines()[-1]
        assert "the same command in all processes resumes" in errors.splitlines()[-1]
    else:  # while it waits for the other at the end of a checkpoint, JAX itself ends it, and says why
        assert status == -signal.SIGABRT, errors[-2000:]
        assert "coordination" in errors.lower()
    ends_as_a_straight_run(tmp_path)


@pytest.mark.slow
def test_what_ends_the_first_process_ends_all(tmp_path, audio):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "something").write_text("else")
    for status, _, errors in Together(*words(tmp_path / "run", audio)).end():
        assert status == 2
        assert errors.splitlines()[-1].endswith("not empty and not an experiment; choose another --out")


def refused(*flags: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "OMPI_"))}
    command = [sys.executable, "-m", "msa_jax", "train", "text_only", "--data", "synthetic", *flags]
    found = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 2, found.stderr[-2000:]
    return found.stderr.splitlines()[-1]


def test_no_cluster():
    assert "no cluster that JAX knows was found" in refused("--distributed")
    assert "need --distributed" in refused("--process", "1")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (("127.0.0.1:1234", None, None), "belong together"),
        (("127.0.0.1", 2, 0), "expected HOST:PORT"),
        (("127.0.0.1:1234", 2, 2), "process is 2 of 2; expected a number from 0 to 1"),
        (("127.0.0.1:1234", 0, 0), "process is 0 of 0"),
    ],
)
def test_an_address_that_does_not_fit(address, message):
    with pytest.raises(InputError, match=message):
        processes.join(*address)
