"""What the page shows: scores beside numpy's, samples in order, and no path outside of the folder that was given."""

import base64
import csv
import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("av")

from msa_jax.app import media_views, scores
from msa_jax.app.samples import Wanted, page_of
from msa_jax.app.session import Run, Session
from msa_jax.data import load_dataset, write_native
from msa_jax.data.schema import Split
from msa_jax.errors import DataWarning, InputError
from msa_jax.extract.clips import Extracted, Tools
from msa_jax.extract.face_model import SHA256
from msa_jax.extract.face_points import FACE_NAMES
from msa_jax.extract.media import read_frames, read_sound
from msa_jax.extract.recipe import Features, Recipe, audio_features
from msa_jax.extract.speech import speech_features
from msa_jax.report.errors import Errors
from msa_jax.report.sharing import export
from msa_jax.testing import tiny_dataset
from msa_jax.train import clips
from tests.extract.material import BAD, TALKING, write_clip
from tests.tiny import toy, train_toy  # noqa: F401


class FakePredictor:
    """Trained on words and on sound: its score is the mean energy of the frames, plus 1000 for each word."""

    preprocessor = SimpleNamespace(modalities=("text", "audio"), widths={"audio": 25})
    inputs = SimpleNamespace(audio=SimpleNamespace(steps=500), vision=None)
    extract = Recipe(audio=audio_features("speech-v1"), vision=None).to_json()

    def check_reads_texts(self):
        pass

    def split_of_texts(self, texts):
        return Split(raw_text=np.array(texts))

    def predict_runs(self, split, *, missing=()):
        if missing:
            warnings.warn(f"{' and '.join(missing)} is missing", DataWarning, stacklevel=2)
        words = (
            np.zeros(len(split), np.float32)
            if "text" in missing
            else np.array([len(t.split()) for t in split.raw_text])
        )
        energy = np.zeros(len(split))
        if "audio" not in missing:
            energy = np.array([one[:n, 0].mean() for one, n in zip(split.audio, split.audio_length, strict=True)])
        found = {}
        for seed in (1, 3):
            found[seed] = {
                "prediction": (seed * (energy + 1000 * words)).astype(np.float32),
                "text": (seed * words).astype(np.float32),
                "audio": (seed * energy).astype(np.float32),
            }
        return found


@pytest.mark.filterwarnings("ignore:extracted with other versions")
def test_scores_of_a_clip_are_those_of_its_parts(tmp_path):
    found = scores.score_clip(FakePredictor(), TALKING, text="two words", window=1.0, tools=Tools(), cache=tmp_path)
    sound = read_sound(TALKING, most_seconds=60)
    energy = speech_features(sound)[:, 0].astype(np.float64)
    assert found["score"] == pytest.approx(2 * (energy.mean() + 2000), rel=1e-5)
    assert found["heads"] == {"text": 4.0, "audio": pytest.approx(2 * energy.mean(), rel=1e-5)}
    assert found["runs"] == {str(s): pytest.approx(s * (energy.mean() + 2000), rel=1e-5) for s in (1, 3)}
    assert found["seconds"] == pytest.approx(len(sound) / 16_000, abs=0.05)
    starts = [part["start"] for part in found["parts"]]
    assert starts[:3] == [0.0, 0.5, 1.0]
    for part in found["parts"]:
        own = energy[round(part["start"] * 50) : round(part["end"] * 50)].mean()
        assert part["heads"]["audio"] == pytest.approx(2 * own, rel=1e-5)
    assert (found["text"], found["words"]) == ("two words", [])
    assert len(found["wave"]["low"]) == media_views.COLUMNS
    assert max(found["wave"]["high"]) == pytest.approx(sound.max(), abs=1e-3)
    assert found["face"] is None
    assert found["notes"][-1] == "vision is not read, so no picture is shown"
    assert any(tmp_path.rglob("*.npz"))


@pytest.mark.filterwarnings("ignore:extracted with other versions")
def test_a_clip_is_scored_by_its_words_alone(tmp_path):
    found = scores.score_clip(
        FakePredictor(), TALKING, text="two words", missing=("audio",), tools=Tools(), cache=tmp_path
    )
    assert (found["score"], found["heads"]) == (4000, {"text": 4})
    assert found["parts"][1]["start"] == 0.5
    assert (found["face"], found["wave"]) == (None, None)


@pytest.mark.filterwarnings("ignore:extracted with other versions")
def test_a_long_clip_has_longer_parts_and_no_more_than_are_shown(tmp_path):
    long = write_clip(tmp_path / "long.wav", sound=np.sin(np.arange(30 * 16_000) / 9))
    found = scores.score_clip(FakePredictor(), long, text="words", window=0.2, tools=Tools(), cache=tmp_path)
    assert [(part["start"], part["end"]) for part in found["parts"][:2]] == [(0, 0.25), (0.25, 0.5)]
    assert len(found["parts"]) == scores.MOST_PARTS
    assert "parts of 0.25 s instead of 0.2 s: 0.05 s at least, 120 parts at most" in found["notes"]


@pytest.mark.filterwarnings("ignore:extracted with other versions")
def test_pictures_that_are_not_read_may_be_damaged(tmp_path):
    content = TALKING.read_bytes()
    for known in (b"avc1", b"avcC"):
        content = content.replace(known, b"zzzz")
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(InputError, match="video is in a format"):
        media_views.face_view(tmp_path / "a.mp4", middle=1, landmarker=None)
    found = scores.score_clip(FakePredictor(), tmp_path / "a.mp4", text="words", tools=Tools(), cache=tmp_path)
    assert found["face"] is None
    assert found["wave"] is not None


def test_no_face_model_is_needed_where_no_faces_are_read(monkeypatch):
    monkeypatch.setattr(scores, "find_face_model", lambda path: path)
    monkeypatch.setattr(scores, "FaceLandmarker", lambda path: path)
    recipe = Recipe.from_json(FakePredictor.extract, "fake")
    assert scores._landmarker(recipe, Tools()) is None
    seeing = Features(
        set="face-v1", dim=58, rate=15, tool="ai-edge-litert", tool_version="1", names=FACE_NAMES, model_sha256=SHA256
    )
    assert scores._landmarker(replace(recipe, vision=seeing), Tools(face_model=TALKING))() == TALKING


@pytest.mark.filterwarnings("ignore:extracted with other versions")
def test_a_transcript_that_a_link_leads_out_of_the_folder_to_is_not_read(tmp_path, monkeypatch):
    inside = tmp_path / "clips"
    inside.mkdir()
    shutil.copy(TALKING, inside / "a.mp4")
    (tmp_path / "secret.txt").write_text("other words")
    (inside / "a.txt").symlink_to(tmp_path / "secret.txt")
    session = Session(runs=(Run(folder=tmp_path, exported=False, about={}),), clips=inside)
    session._predictors[0] = FakePredictor()
    with pytest.raises(InputError, match="type what is said in the clip, or leave text out"):
        session.score(0, text="", clip="a.mp4", window=1, missing=())
    session.tools = Tools(asr=tmp_path)  # which may hear words, and has not
    monkeypatch.setattr(clips, "extract_clips", lambda *given, **named: [Extracted()])
    with pytest.raises(InputError, match="no words: give"):
        session.score(0, text="", clip="a.mp4", window=1, missing=())


@pytest.mark.filterwarnings("ignore:extracted with other versions")
def test_what_is_left_out_has_no_score_of_its_own(tmp_path):
    named = {"tools": Tools(), "cache": tmp_path}
    found = scores.score_clip(FakePredictor(), TALKING, text="ignored", missing=("text",), **named)
    assert set(found["heads"]) == {"audio"}
    assert any("text is missing" in note for note in found["notes"])
    assert found["text"] == ""
    with pytest.raises(InputError, match="type what is said in the clip, or leave text out"):
        scores.score_clip(FakePredictor(), TALKING, text=" ", **named)
    with pytest.raises(InputError, match="5001 characters; expected 5000 at most"):
        scores.score_clip(FakePredictor(), TALKING, text="a" * 5001, **named)
    alone = scores.score_text(FakePredictor(), "three plain words")
    assert (alone["score"], alone["heads"]) == (6000.0, {"text": 6.0})
    assert alone["notes"] == ["audio is missing"]
    with pytest.raises(InputError, match="nothing to score"):
        scores.score_text(FakePredictor(), "\n")


def test_a_picture_is_scaled_and_a_clip_without_one_has_none(tmp_path, monkeypatch):
    monkeypatch.setattr(media_views, "WIDEST", 100)
    mesh = np.full((478, 3), (80, 160, 0))
    network = SimpleNamespace(
        detect=lambda picture, tiles: [SimpleNamespace(size=3), SimpleNamespace(size=9)],
        landmarks=lambda picture, face: (mesh, 1.0) if face.size == 9 else None,
    )
    found = media_views.face_view(TALKING, middle=0.6, landmarker=lambda: network)
    assert (found["width"], found["height"]) == (100, 100)
    assert found["points"] == [[0.25, 0.5]] * 68  # of 320 pixels
    path = tmp_path / "picture.jpg"
    path.write_bytes(base64.b64decode(found["picture"].removeprefix("data:image/jpeg;base64,")))
    assert path.read_bytes()[:3] == b"\xff\xd8\xff"
    late = media_views.face_view(TALKING, middle=1000, landmarker=None)
    assert late["points"] == []
    assert media_views.wave_form(BAD / "silent.mp4", most_seconds=60) is None
    with pytest.raises(InputError, match="no media file"):
        media_views.face_view(BAD / "text.mp4", middle=1, landmarker=None)
    assert next(iter(read_frames(TALKING, rate=4, most_seconds=1)))[0].shape == (320, 320, 3)


def few() -> Errors:
    """Five samples whose errors are -2, 1, 0, 3 and -1."""
    label = np.array([1, -1, 0, -2, 2], np.float32)
    score = np.array([-1, 0, 0, 1, 1], np.float32)
    generated = np.array([0.5, np.nan, -0.5, 1, 0], np.float32)
    columns = {
        "id": np.array(["e", "d", "c", "b", "a"]),
        "text": np.array(["Ein Film", "plain", "<b>film</b>", "dull", "ΣΑΣ film"]),
        "label": label,
        "score": score,
        "error": score - label,
        "generated_t": generated,
    }
    return Errors(folder=TALKING, dataset="few", split="train", sort="error", columns=columns, differences=("odd",))


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        ({}, "beda c"),
        ({"ascending": True}, "cdaeb"),
        ({"sort": "label", "ascending": True}, "bdcea"),
        ({"sort": "id", "ascending": True}, "abcde"),
        ({"sort": "id"}, "edcba"),
        ({"sort": "generated_t"}, "beacd"),
        ({"sort": "generated_t", "ascending": True}, "caebd"),
        ({"contains": "FILM"}, "eac"),
        ({"contains": "σας", "sort": "id"}, "a"),
        ({"least_error": 2}, "be"),
        ({"label_from": 0, "label_to": 1}, "ec"),
        ({"contains": "nowhere"}, ""),
        ({"first": 2, "count": 2}, "da"),
        ({"first": 50}, ""),
    ],
)
def test_samples_in_order(wanted, ids):
    found = page_of(few(), Wanted(**wanted))
    assert "".join(row[0] for row in found["rows"]) == ids.replace(" ", "")
    assert found["all"] == 5


def test_samples_are_plain_and_wrong_orders_are_refused():
    found = page_of(few(), Wanted())
    assert found["columns"] == ["id", "text", "label", "score", "error", "generated_t"]
    assert found["rows"][0] == ["b", "dull", -2.0, 1.0, 3.0, 1.0]
    assert found["rows"][2][-1] is None
    assert (found["total"], found["remarks"]) == (5, ["odd"])
    for wrong in ({"sort": "colour"}, {"first": -1}, {"count": 0}, {"count": 501}):
        with pytest.raises(InputError, match="expected"):
            page_of(few(), Wanted(**wrong))


@pytest.fixture(scope="module")
def folders(toy, tmp_path_factory):  # noqa: F811
    """An experiment, and another that says it was trained on another dataset."""
    place = tmp_path_factory.mktemp("app")
    write_native(tiny_dataset(modalities=("audio",)), place / "data")
    first = train_toy(place / "a" / "run", load_dataset(place / "data"), seeds=(1, 2)).path
    second = Path(shutil.copytree(first, place / "b" / "run"))
    result = json.loads((second / "result.json").read_text())
    (second / "result.json").write_text(json.dumps({**result, "dataset": "other"}))
    return first, second


def test_samples_of_an_experiment_have_the_errors_of_its_predictions(folders, monkeypatch):
    first, second = folders
    session = Session.of([first, second])
    about = session.describe()
    assert about["clips"] is None
    assert [run["name"] for run in about["runs"]] == [str(first), str(second)]  # both are called run
    assert about["runs"][0]["modalities"] == ["audio"]
    assert (about["runs"][0]["seeds"], about["runs"][0]["reads_clips"]) == ([1, 2], False)
    with (first / "predictions" / "test.csv").open(newline="") as file:
        known = {row["id"]: row for row in csv.DictReader(file)}
    found = session.samples(0, "test", Wanted())
    assert found["all"] == len(known)
    errors = []
    for row in (dict(zip(found["columns"], row, strict=True)) for row in found["rows"]):
        runs = [float(known[row["id"]][f"{seed}/prediction"]) for seed in (1, 2)]
        errors.append(sum(runs) / 2 - float(known[row["id"]]["label"]))
        assert row["error"] == pytest.approx(errors[-1], abs=1e-3)
    assert np.all(np.diff(np.abs(errors)) < 1e-3)
    monkeypatch.setattr("msa_jax.app.session.errors", None)
    assert session.samples(0, "test", Wanted(count=1))["rows"] == found["rows"][:1]  # nothing is computed again


def test_what_cannot_be_shown_or_scored_is_refused(folders):
    session = Session.of(folders)
    for run, split, said in (
        (2, "test", "no experiment 2"),
        (-1, "test", "no experiment -1"),
        (0, "all", "split is 'all'"),
    ):
        with pytest.raises(InputError, match=said):
            session.samples(run, split, Wanted())
    with pytest.raises(InputError, match="trained without text"):
        session.score(0, text="a text", clip=None, window=1, missing=())
    with pytest.raises(InputError, match="cannot read clips"):
        session.score_file(0, TALKING, name="a.mp4", text="", window=1, missing=())
    for window in (0, -1, float("nan"), 1e9):
        with pytest.raises(InputError, match="window is"):
            session.score_file(0, TALKING, name="a.mp4", text="", window=window, missing=())


@pytest.mark.filterwarnings("ignore:extracted with other versions")
def test_messages_name_the_clip_as_the_user_does(folders, tmp_path):
    session = Session.of(folders[:1], clips=BAD.parent)
    session._predictors[0] = FakePredictor()
    named = {"text": "words", "window": 1, "missing": ()}
    with pytest.raises(InputError, match=r"^<b>film</b>\.mp4: no media file, damaged or cut off"):
        session.score_file(0, BAD / "text.mp4", name="<b>film</b>.mp4", cache=tmp_path, **named)
    with pytest.raises(InputError, match=r"^bad/empty\.mp4: the file is empty"):
        session.score(0, clip="bad/empty.mp4", **named)
    # A part that cannot be any shorter.
    found = session.score_file(0, TALKING, name="a.mp4", cache=tmp_path, **{**named, "window": 0.05})
    assert [part["start"] for part in found["parts"][:3]] == [0.0, 0.05, 0.1]


def test_experiments_on_two_datasets_have_tables_of_their_own(folders):
    first, second = folders
    found = Session.of([first, second]).comparison()
    assert len(found["remarks"]) == 1
    assert "expected one dataset" in found["remarks"][0]
    assert len(found["tables"]) == 2
    loss = found["curves"]["loss, train"]
    assert [(one["experiment"], one["seed"]) for one in loss] == [
        (str(folder), seed) for folder in (first, second) for seed in (1, 2)
    ]
    assert loss[0]["epochs"] == [1, 2, 3, 4]
    assert all(isinstance(value, float) for value in loss[0]["values"])
    alone = Session.of([first]).comparison()
    assert alone["remarks"] == []
    assert alone["tables"][0]["columns"]


def test_an_exported_folder_is_known_and_has_no_curves(folders, tmp_path):
    first, _ = folders
    export(first, tmp_path / "small")
    session = Session.of([tmp_path / "small", first])
    small, whole = session.describe()["runs"]
    assert {**small, "name": ""} == {**whole, "name": ""}
    found = session.comparison()
    assert found["remarks"] == ["small: exported, without tables and curves."]
    assert {one["experiment"] for one in found["curves"]["loss, train"]} == {"run"}
    with pytest.raises(InputError, match="name one with --data"):
        session.samples(0, "test", Wanted())
    assert Session.of([tmp_path / "small"]).comparison()["tables"] == []


def test_no_path_outside_of_the_folder_of_clips(folders, tmp_path):
    first, _ = folders
    inside, outside = tmp_path / "clips", tmp_path / "secret.mp4"
    (inside / "deep").mkdir(parents=True)
    outside.write_bytes(b"1")
    (inside / "deep" / "a.mp4").write_bytes(b"1")
    (inside / "notes.txt").write_bytes(b"1")
    (inside / ".hidden.mp4").write_bytes(b"1")
    (inside / "link.mp4").symlink_to(outside)
    session = Session.of([first], clips=inside)
    assert session.describe()["clips"] == ["deep/a.mp4"]
    assert session._inside("deep/a.mp4") == inside / "deep" / "a.mp4"
    for name in (
        "../secret.mp4",
        str(outside),
        "link.mp4",
        "notes.txt",
        "deep",
        "",
        "none.mp4",
        "deep/../../secret.mp4",
        "a\0.mp4",
    ):
        with pytest.raises(InputError, match=r"no clip in the folder|is not a path"):
            session.score(0, text="", clip=name, window=1, missing=())
    with pytest.raises(InputError, match="--clips DIR"):
        Session.of([first]).score(0, text="", clip="deep/a.mp4", window=1, missing=())


def test_what_is_no_experiment_is_refused(folders, tmp_path):
    first, _ = folders
    for paths, named, said in (
        ([], {}, "there is no experiment"),
        ([tmp_path / "none"], {}, "no such folder"),
        ([tmp_path], {}, "expected an experiment folder"),
        ([first, first.parent / "run"], {}, "given twice"),
        ([first], {"clips": tmp_path / "none"}, "no such folder; --clips"),
    ):
        with pytest.raises(InputError, match=said):
            Session.of(paths, **named)
