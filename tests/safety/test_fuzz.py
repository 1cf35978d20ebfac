"""Damaged inputs, some hundred quickly and ten thousand with all tests."""

import ast
import contextlib
import os
import random
import subprocess
import sys
import time

import numpy as np
import pytest

from scripts import fuzz, fuzz_experiment
from scripts.fuzz_damage import damaged_bytes, damaged_tree
from tests.paths import REPOSITORY


def test_no_damaged_input_is_a_crash():
    quick = [kind for kind in fuzz.KINDS if kind not in ("training", "pages")]
    found = fuzz.fuzz(200, kinds=quick)
    assert found["findings"] == []
    for kind, outcomes in found["outcomes"].items():
        assert outcomes.get("refused"), kind  # the damage is real


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # orbax drops readings that it has begun
def test_no_damaged_input_of_ten_thousand_is_a_crash():
    found = fuzz.fuzz(10_000, seed=1)
    assert found["findings"] == []
    assert all(outcomes.get("refused") for outcomes in found["outcomes"].values())


def test_a_command_that_refuses_what_is_not_damaged_ends_the_fuzz():
    with pytest.raises(AssertionError, match="status 2 without any damage: data check nowhere"):
        fuzz_experiment.succeed(["data", "check", "nowhere"])


def test_an_input_is_the_same_every_time():
    tree = {"a": {"b": 1, "c": [1, 2]}, "d": "text"}
    first, second = (damaged_tree(random.Random("0/7"), tree) for _ in range(2))
    assert repr(first) == repr(second)
    assert damaged_bytes(random.Random(3), b"abcdef") == damaged_bytes(random.Random(3), b"abcdef")


# -- that it would see what it looks for ---------------------------------------------------------------------------------


def with_pickles(read):
    """A function of numpy's that reads object arrays, whatever it is told."""
    return lambda *arguments, **named: read(*arguments, **{**named, "allow_pickle": True})


def test_code_in_the_arrays_of_a_native_folder_is_seen_if_it_runs(monkeypatch):
    monkeypatch.setattr(np.lib.format, "read_array", with_pickles(np.lib.format.read_array))
    assert fuzz.fuzz(60, kinds=["native"])["outcomes"]["native"]["ran code"] >= 1


def test_code_in_a_preset_is_seen_if_it_runs(monkeypatch):
    monkeypatch.setattr(ast, "literal_eval", lambda node: eval(compile(ast.Expression(node), "preset", "eval")))
    assert fuzz.fuzz(200, kinds=["preset"])["outcomes"]["preset"]["ran code"] >= 1


def test_code_in_the_arrays_of_an_experiment_is_seen_if_it_runs(tmp_path):
    marker = tmp_path / "code_was_run"
    for seed in range(100):
        path = tmp_path / str(seed) / "scores.npz"
        path.parent.mkdir()
        np.savez(path, valid=np.zeros(3))
        fuzz_experiment.damage(random.Random(seed), path.parent, marker)
        with contextlib.suppress(Exception), open(path, "rb") as raw, np.load(raw, allow_pickle=True) as file:
            _ = [file[name] for name in file.files]
        if marker.exists():
            return
    pytest.fail("nothing ran")


def _raise():
    raise KeyError("x")


@pytest.mark.parametrize(
    ("doing", "expected"),
    [
        (lambda: None, "fine"),
        (_raise, "KeyError"),
        (["data", "check", "nowhere"], "refused"),
        (["methods", "tfn"], "fine"),
    ],
)
def test_a_crash_is_told_from_a_refusal(doing, expected, tmp_path):
    with open(tmp_path / "hangs", "w") as hangs:
        assert fuzz.outcome(doing, hangs)[0] == expected
    assert (tmp_path / "hangs").read_text() == ""


def test_the_making_of_an_input_takes_none_of_its_time(monkeypatch, capfd):
    def made(rng, good, folder):
        time.sleep(0.5)
        return lambda: None

    monkeypatch.setattr(fuzz, "SECONDS", 0.4)
    monkeypatch.setitem(fuzz.KINDS, "table", made)
    assert fuzz.fuzz(1, kinds=["table"])["outcomes"] == {"table": {"fine": 1}}
    assert "hangs" not in capfd.readouterr().err


@pytest.mark.slow
def test_what_hangs_is_named_and_what_was_found_before_is_there(tmp_path):
    code = (
        "import sys, time\nfrom scripts import fuzz\nfuzz.SECONDS = 0.5\ndoings = [lambda: 1 / 0, lambda: time.sleep(60)]\n"
        "fuzz.KINDS['table'] = lambda rng, good, folder: doings.pop(0)\n"
        "sys.argv[1:] = ['--inputs', '2', '--only', 'table']\nfuzz.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1
    assert "input 0 (table): ZeroDivisionError" in done.stdout
    assert "input 1, table, " in done.stderr
    assert "Timeout" in done.stderr
    assert "time.sleep" in done.stderr or "in <lambda>" in done.stderr
