"""Damaged inputs, some hundred quickly and ten thousand with all tests."""

import os
import random
import subprocess
import sys

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


@pytest.mark.slow
def test_what_hangs_is_named(tmp_path):
    code = (
        "import time\nfrom scripts import fuzz\nfuzz.SECONDS = 0.5\n"
        "fuzz.KINDS['table'] = lambda rng, good, folder: lambda: time.sleep(60)\nfuzz.fuzz(1, kinds=['table'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1
    assert "input 0, table, " in done.stderr
    assert "Timeout" in done.stderr
    assert "time.sleep" in done.stderr or "in <lambda>" in done.stderr
