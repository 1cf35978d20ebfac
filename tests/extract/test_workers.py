"""Processes that extract: one that a clip ends is replaced, and what is in the way of all is said at once."""

import subprocess
import sys

import pytest

from msa_jax.errors import InputError
from msa_jax.extract import clips, workers
from msa_jax.extract.clips import Source, Tools, extract_clips
from msa_jax.extract.recipe import Recipe
from msa_jax.extract.tables import read_feature_table

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


def test_a_table_is_of_one_clip(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(clips, "run_jobs", lambda jobs, workers: asked.extend(jobs) or [])
    (tmp_path / "cam").mkdir()
    (tmp_path / "cam" / "1.csv").write_text("timestamp,AU01_r\n0,1\n0.04,2\n")
    paths = [tmp_path / name / "cam" / "1.mp4" for name in ("s1", "s2")]
    films = [Source(path=path, video="cam", clip="1") for path in paths]
    unseen = [Source(path=None, video="v", clip=clip) for clip in ("1", "2")]
    table = tmp_path / "cam" / "1.csv"

    def extracted(sources, place):
        recipe = Recipe(audio=None, vision=read_feature_table(table, "vision").features("vision"))
        extract_clips(sources, recipe, Tools(openface=place), cache=tmp_path / "cache")

    for sources, place, said in (
        (films, tmp_path, f"{table}: the CSV of both {paths[0]} and {paths[1]}; expected one for each clip"),
        (unseen, table, f"{table}: the CSV of both v/1 and v/2; expected one for each clip"),
    ):
        with pytest.raises(InputError) as error:
            extracted(sources, place)
        assert str(error.value) == said
    assert asked == []
    for sources, place in ((films[:1], tmp_path), (unseen[:1], table), ([films[0]] * 2, tmp_path)):
        extracted(sources, place)
    assert len(asked) == 4
