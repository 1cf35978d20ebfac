"""Processes that extract: one that a clip ends is replaced, and what is in the way of all is said at once."""

import subprocess
import sys

import pytest

from msa_jax.errors import InputError
from msa_jax.extract import clips, workers
from msa_jax.extract.clips import Source, Tools, extract_clips
from msa_jax.extract.recipe import Recipe

# Doubles a number, and dies of anything else.
FRAGILE = """
import json, os, sys
for line in sys.stdin:
    job = json.loads(line)
    if not isinstance(job, int):
        os.kill(os.getpid(), 11) if job == "signal" else sys.exit(3)
    print(json.dumps({"twice": 2 * job}), flush=True)
"""


@pytest.fixture
def fragile(monkeypatch):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    monkeypatch.setattr(workers, "_started", lambda: subprocess.Popen([sys.executable, "-c", FRAGILE], **pipes))


@pytest.mark.parametrize("processes", [1, 2])
def test_a_process_that_dies_costs_one_clip(fragile, processes):
    found = dict(workers.run_jobs([1, "signal", 2, "exit", 3], workers=processes))
    assert [found[number].get("twice") for number in range(5)] == [2, None, 4, None, 6]
    assert "SIGSEGV" in found[1]["error"]
    assert "exit status 3" in found[3]["error"]


def test_nothing_to_do(fragile):
    assert list(workers.run_jobs([], workers=2)) == []


def test_a_cache_that_cannot_be_written_stops_everything(monkeypatch, tmp_path):
    pytest.importorskip("av")
    monkeypatch.setattr(
        clips, "run_jobs", lambda jobs, workers: iter([(0, {"stop": "cache: No space left on device"})])
    )
    source = Source(path=tmp_path / "a.mp4", video="v", clip="a")
    from msa_jax.extract.recipe import audio_features

    recipe = Recipe(audio=audio_features("speech-v1"), vision=None)
    with pytest.raises(InputError, match="No space left on device"):
        extract_clips([source], recipe, Tools(), cache=tmp_path)
