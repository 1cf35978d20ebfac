"""Damaged inputs, some hundred quickly and ten thousand with all tests."""

import random

import pytest

from scripts import fuzz, fuzz_experiment
from scripts.fuzz_damage import damaged_bytes, damaged_tree


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
def test_a_crash_is_told_from_a_refusal(doing, expected):
    assert fuzz.outcome(doing)[0] == expected
