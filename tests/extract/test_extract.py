"""From clips to a dataset, to an experiment, to the score of a clip."""

import csv
import io
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("av")

from msa_jax.cli import main
from msa_jax.data import read_native
from msa_jax.errors import DataWarning, InputError
from msa_jax.extract import extract
from msa_jax.extract.dataset import _failed_csv
from msa_jax.extract.layouts import Clip
from msa_jax.extract.media import read_sound
from msa_jax.extract.recipe import Recipe, audio_features
from msa_jax.extract.speech import speech_features
from msa_jax.train.clips import media_files
from tests.extract.material import BAD, CLIPS, TALKING, face_model, raw_folder
from tests.paths import REPOSITORY
from tests.tiny import train_quick

CARD = {"name": "clips", "language": "en", "label_range": (-3, 3), "metrics": "regression"}
WORDS = "I really loved this movie, it was wonderful"


def heard(out: Path, cache: Path, **named):
    """A dataset of sound alone, which needs no model."""
    return extract(CLIPS, out=out, vision="none", cache=cache, workers=1, log=None, **CARD, **named)


def test_sound_becomes_a_dataset_with_its_recipe(tmp_path):
    done = heard(tmp_path / "data", tmp_path / "cache")
    dataset = read_native(tmp_path / "data")
    assert [len(split) for split in dataset.splits().values()] == [2, 1, 1]
    assert dataset.train.id.tolist() == ["vid00$_$1", "vid01$_$1"]
    assert dataset.test.raw_text.tolist() == [WORDS]
    expected = speech_features(read_sound(TALKING, most_seconds=60))
    np.testing.assert_array_equal(dataset.train.audio[0, : len(expected)], expected)
    assert dataset.train.audio_length[0] == len(expected)
    recipe = Recipe.from_json(dataset.card.extract, "card")
    assert recipe.audio == audio_features("speech-v1")
    assert (recipe.vision, recipe.text, recipe.clips) == (None, "table", {"count": 4, "failed": 0})
    assert done.failed == ()
    # The cache is read: a clip that it has under this name need not be decoded again.
    (kept, *_) = sorted((tmp_path / "cache").rglob("*.npz"))
    with np.load(kept) as arrays:
        changed = {**arrays, "audio": arrays["audio"] + 1}
    np.savez(kept, **changed)
    heard(tmp_path / "again", tmp_path / "cache")
    again = read_native(tmp_path / "again")
    assert (
        (again.train.audio != dataset.train.audio).any()
        or (again.valid.audio != dataset.valid.audio).any()
        or (again.test.audio != dataset.test.audio).any()
    )
    kept.write_bytes(kept.read_bytes()[:200])  # damaged: made again
    heard(tmp_path / "whole", tmp_path / "cache")
    assert read_native(tmp_path / "whole").fingerprint() == dataset.fingerprint()


def test_words_of_the_dataset_are_checked(tmp_path):
    with pytest.raises(TypeError, match="no argument 'colour'"):
        extract(CLIPS, out=tmp_path / "data", colour="red")
    with pytest.raises(InputError, match="allow names 'loud'"):
        extract(CLIPS, out=tmp_path / "data", allow=["loud"])
    for name, value, said in (
        ("audio", "mfcc", "expected one of speech-v1"),
        ("vision", "aus", "expected one of face-v1"),
        ("audio_rate", 30, "audio_rate is 30; expected 50"),
        ("audio_rate", -1, "audio_rate is -1"),
        ("audio_rate", 1e-320, "audio_rate is 9.99"),
        ("align", "faces", "align is 'faces'"),
        ("max_seconds", 0, "max_seconds is 0"),
        ("max_seconds", float("inf"), "max_seconds is inf"),
        ("workers", 0, "workers is 0"),
        ("split_seed", -1, "split_seed is -1"),
    ):
        with pytest.raises(InputError, match=said):
            extract(CLIPS, out=tmp_path / "data", **{name: value})
    with pytest.raises(InputError, match="max_tokens is 2; expected a whole number from 3"):
        extract(CLIPS, out=tmp_path / "data", align="words", max_tokens=2)
    with pytest.raises(InputError, match="neither audio nor vision"):
        extract(CLIPS, out=tmp_path / "data", audio="none", vision="none")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("named", "said"),
    [
        (
            {"audio": "egemaps-v02", "opensmile": CLIPS},
            "audio is 'egemaps-v02', and opensmile gives the features of audio",
        ),
        ({"vision": "face-v1", "openface": CLIPS}, "vision is 'face-v1', and openface gives the features of vision"),
        ({"face_model": Path("a"), "openface": CLIPS}, "face_model is 'a', and openface gives the features of vision"),
        ({"face_model": "a", "vision": "none"}, "face_model is 'a', and vision is none"),
        ({"audio_rate": 25.0, "opensmile": CLIPS}, "audio_rate is 25.0, and opensmile gives the features of audio"),
        ({"audio_rate": 25.0, "audio": "none"}, "audio_rate is 25.0, and audio is none"),
        ({"text_encoder": "scratch"}, "text_encoder is 'scratch', and align is not given"),
        ({"max_tokens": 50}, "max_tokens is 50, and align is not given"),
    ],
)
def test_what_nothing_reads_is_refused(tmp_path, named, said):
    with pytest.raises(InputError) as error:
        extract(CLIPS, out=tmp_path / "data", **named)
    assert str(error.value) == f"{said}, so nothing reads it; leave it out"


@pytest.mark.parametrize(
    ("modalities", "missing", "why"),
    [
        (("text", "audio"), ["text"], "missing names text"),
        (("audio",), [], "this experiment was trained without text"),
    ],
)
def test_a_text_beside_a_clip_is_refused_where_none_is_read(modalities, missing, why):
    from msa_jax.train.clips import predict_clip

    trained = SimpleNamespace(preprocessor=SimpleNamespace(modalities=modalities), extract=None)
    with pytest.raises(InputError) as error:
        predict_clip(trained, TALKING, text="good", missing=missing)
    assert str(error.value) == f"--text says what is said in the clips, and {why}, so no text is read; leave it out"


@pytest.mark.parametrize(("option", "name"), [("opensmile", "audio"), ("openface", "vision")])
def test_tables_of_a_modality_that_is_not_read_are_refused(option, name):
    from msa_jax.train.clips import predict_clip

    trained = SimpleNamespace(preprocessor=SimpleNamespace(modalities=("text", "audio", "vision")), extract=None)
    with pytest.raises(InputError) as error:
        predict_clip(trained, TALKING, text="good", missing=[name], **{option: CLIPS})
    assert str(error.value) == f"--{option} gives the features of {name}, which is not read here; leave it out"


@pytest.mark.parametrize(("option", "name"), [("asr", "text"), ("face_model", "vision")])
def test_tools_of_a_modality_that_is_not_read_are_refused(option, name):
    from msa_jax.train.clips import predict_clip

    trained = SimpleNamespace(preprocessor=SimpleNamespace(modalities=("text", "audio", "vision")), extract=None)
    with pytest.raises(InputError) as error:
        predict_clip(trained, TALKING, missing=[name], **{option: CLIPS})
    flag = option.replace("_", "-")
    assert str(error.value) == f"--{flag} serves {name}, which is not read here; leave it out"


def test_a_seed_of_splits_is_refused_where_the_table_has_them(tmp_path):
    with pytest.raises(InputError, match=r"split_seed is 1, and .* has a column mode, so nothing reads it"):
        extract(CLIPS, out=tmp_path / "data", split_seed=1)


def test_reasons_of_several_lines_are_one_cell_of_failed_csv():
    clip = Clip(id="a", video="v", clip="c", where="line 2", labels={}, text=None, split=None, path=None)
    text = _failed_csv([(clip, "one\rtwo")])
    assert list(csv.reader(io.StringIO(text, newline=""))) == [
        ["id", "file", "where", "reason"],
        ["a", "", "line 2", "one\rtwo"],
    ]


def test_hidden_files_of_a_folder_are_no_clips(tmp_path):
    (tmp_path / "._a.mp4").touch()
    with pytest.raises(InputError, match="no clip in this folder"):
        media_files([tmp_path])
    (tmp_path / "a.mp4").touch()
    assert media_files([tmp_path]) == [tmp_path / "a.mp4"]
    assert media_files([tmp_path / "._a.mp4"]) == [tmp_path / "._a.mp4"]


def test_a_recipe_survives_json_and_another_one_is_refused():
    recipe = Recipe(audio=audio_features("speech-v1", rate=25), vision=None, decoder={"av": "1"}, allow=("silent",))
    content = json.loads(json.dumps(recipe.to_json()))
    assert Recipe.from_json(content, "card") == recipe
    assert (recipe.audio.rate, recipe.audio.mean_of) == (25, 2)
    other = replace(recipe, audio=replace(recipe.audio, tool_version="0"))
    assert other.key() != recipe.key()
    assert replace(recipe, allow=()).key() == recipe.key()
    for change, said in (
        ({"version": 2}, "has version 2"),
        ({"audio": {**content["audio"], "set": "speech-v2"}}, "audio is 'speech-v2'"),
        ({"audio": {**content["audio"], "dim": 7}}, "has 7 values and 25 names"),
        ({"audio": {**content["audio"], "model_sha256": "0"}}, "SHA-256 0"),
        ({"audio": {"set": "speech-v1"}}, "cannot be read"),
        ({"most_seconds": None}, "cannot be read"),
        ({"most_seconds": 10**400}, "cannot be read"),
        ({"most_seconds": -1}, "a value that no recipe has"),
        ({"most_seconds": float("nan")}, "a value that no recipe has"),
        ({"allow": ["loud"]}, "a value that no recipe has"),
        ({"decoder": 5}, "a value that no recipe has"),
        ({"clips": None}, "a value that no recipe has"),
        ({"align": {"text_encoder": 3, "vocabulary_sha256": "0", "max_tokens": 50}}, "a value that no recipe has"),
        (
            {"align": {"text_encoder": "scratch", "vocabulary_sha256": "0", "max_tokens": "x"}},
            "a value that no recipe has",
        ),
        ({"align": {"max_tokens": 50}}, "cannot be read"),
        ({"audio": {**content["audio"], "rate": 7}}, "not that of speech-v1"),
        ({"audio": {**content["audio"], "rate": float("nan")}}, "not that of speech-v1"),
        ({"audio": {**content["audio"], "mean_of": 2.5}}, "not that of speech-v1"),
        ({"audio": {**content["audio"], "names": content["audio"]["names"][::-1]}}, "not that of speech-v1"),
        ({"audio": {**content["audio"], "tool": None}}, "not that of speech-v1"),
    ):
        with pytest.raises(InputError, match=said):
            Recipe.from_json({**content, **change}, "card")
    with pytest.raises(InputError, match="version None"):
        Recipe.from_json([], "card")


def test_parts_of_a_clip():
    from msa_jax.train.clips import _parts

    assert _parts(2.58, None, None) == [(0, 2.58)]
    assert _parts(2.58, 1, 0.5) == [(0, 1), (0.5, 1.5), (1, 2), (1.5, 2.5)]
    assert _parts(2.58, 2, None) == [(0, 2), (0.58, 2.58)]
    assert _parts(0.5, 2, None) == [(0, 0.5)]
    for window, step in ((0, 1), (1, 0), (float("nan"), 1), (1, -1), (float("inf"), 1), (1, float("inf")), (1, 5)):
        with pytest.raises(InputError, match=r"expected 0\.05 at least"):
            _parts(2, window, step)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A dataset of the four clips with faces, and an experiment that was trained on it."""
    place = tmp_path_factory.mktemp("clips")
    extract(CLIPS, out=place / "data", face_model=face_model(), cache=place / "cache", log=None, **CARD)
    train_quick("self_mm", read_native(place / "data"), place / "run", seeds=(1, 2))
    return place


@pytest.mark.slow
def test_twice_gives_identical_arrays(place, tmp_path):
    extract(CLIPS, out=tmp_path / "data", face_model=face_model(), cache=tmp_path / "c", workers=1, log=None, **CARD)
    first, second = read_native(place / "data"), read_native(tmp_path / "data")
    assert first.fingerprint() == second.fingerprint()
    assert first.card == second.card
    assert first.train.vision.shape[-1] == 58


@pytest.mark.slow
def test_a_clip_of_the_dataset_has_the_score_that_it_has_in_its_split(place, monkeypatch, tmp_path):
    from msa_jax import Predictor

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    predictor, test = Predictor.load(place / "run"), read_native(place / "data").test
    found = predictor.predict_clip(CLIPS / "Raw/vid03/1.mp4", text=WORDS, face_model=face_model())
    assert float(found) == pytest.approx(predictor.predict(test)[0], abs=1e-6)
    of_runs = predictor.predict_runs(test)
    assert found.runs.keys() == of_runs.keys()
    for seed, heads in found.runs.items():
        assert heads == pytest.approx({name: float(of_runs[seed][name][0]) for name in heads}, abs=1e-6)
    assert set(found.heads) == {"prediction", "text", "audio", "vision"}
    parts = predictor.predict_clip(CLIPS / "Raw/vid03/1.mp4", text=WORDS, face_model=face_model(), window=1, step=0.5)
    assert [(part.start, part.end) for part in parts.windows] == [(0, 1), (0.5, 1.5), (1, 2), (1.5, 2.5)]
    assert len({part.score for part in parts.windows}) == 4
    assert parts.score == found.score
    with pytest.warns(DataWarning, match="vision is missing"):
        assert predictor.predict_clip(TALKING, text=WORDS, missing=["vision"]).score != found.score


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:audio is missing")
@pytest.mark.parametrize("left_out", [(), ("audio",)])
def test_a_clip_of_which_only_the_words_are_read_has_the_score_of_its_words(monkeypatch, tmp_path, left_out):
    from msa_jax import Predictor

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    heard(tmp_path / "data", tmp_path / "cache")
    train_quick("self_mm", read_native(tmp_path / "data"), tmp_path / "run", leave_out=left_out)
    predictor, missing = Predictor.load(tmp_path / "run"), [] if left_out else ["audio"]
    found = predictor.predict_clip(TALKING, text=WORDS, window=1, missing=missing)
    assert found.score == pytest.approx(float(predictor.predict_texts([WORDS], missing=missing)[0]), abs=1e-6)
    assert found.end == pytest.approx(2.58, abs=0.1)
    assert [(part.start, part.end) for part in found.windows][:2] == [(0, 1), (0.5, 1.5)]
    with pytest.raises(InputError, match="damaged or cut off"):
        predictor.predict_clip(BAD / "cut.mp4", text=WORDS, missing=missing)
    if not left_out:
        with pytest.raises(InputError, match="all that this experiment was trained with"):
            predictor.predict_clip(TALKING, missing=["text", "audio"])


@pytest.mark.slow
def test_python_of_the_page_runs(place, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("MSA_JAX_FACE_MODEL", str(face_model()))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mine").symlink_to(place / "run")
    shutil.copyfile(TALKING, tmp_path / "new.mp4")
    (block,) = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs/clips.md").read_text(), re.DOTALL)
    exec(block, {})
    assert capsys.readouterr().out.count("(") >= 2  # the parts of the clip


@pytest.mark.slow
def test_the_command_scores_clips_and_folders(place, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("MSA_JAX_FACE_MODEL", str(face_model()))
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in ("a", "b"):
        shutil.copyfile(CLIPS / "Raw/vid03/1.mp4", folder / f"{name}.mp4")
        (folder / f"{name}.txt").write_text(WORDS)

    def predicted(*words: str) -> list[dict]:
        capsys.readouterr()
        assert main(["predict", str(place / "run"), "--json", *words]) == 0
        return json.loads(capsys.readouterr().out)["predictions"]

    (test,) = predicted("--data", str(place / "data"))
    (clip,) = predicted("--clip", str(CLIPS / "Raw/vid03/1.mp4"), "--text", WORDS)
    keys = [key for key in test if "/" in key]
    assert len(keys) == 8
    assert {key: clip[key] for key in keys} == pytest.approx({key: test[key] for key in keys}, abs=1e-6)
    both = predicted("--clip", str(folder))
    assert [row["id"] for row in both] == [str(folder / "a.mp4"), str(folder / "b.mp4")]
    assert both[1][keys[0]] == pytest.approx(test[keys[0]], abs=1e-6)
    assert len(predicted("--clip", str(folder / "a.mp4"), "--window", "1")) == 4

    def refused(*words: str) -> str:
        capsys.readouterr()
        assert main(["predict", str(place / "run"), *words]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        return line

    assert "no words: give --text" in refused("--clip", str(CLIPS / "Raw/vid03/1.mp4"))
    assert "no sound" in refused("--clip", str(BAD / "silent.mp4"), "--text", "words")
    assert "damaged or cut off" in refused("--clip", str(BAD / "cut.mp4"), "--text", "words")
    assert "no such file" in refused("--clip", str(BAD / "none.mp4"), "--text", "words")
    assert "2 texts for 1 clips" in refused("--clip", str(TALKING), "--text", "a", "--text", "b")
    assert "found --data and --clip" in refused("--clip", str(TALKING), "--data", str(place / "data"))
    assert "--window is the length" in refused("--text", "words", "--window", "1")


@pytest.mark.slow
def test_another_recipe_is_refused_and_another_tool_is_warned_of(place, monkeypatch, tmp_path):
    from msa_jax import Predictor

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    predictor = Predictor.load(place / "run")

    def predict(change) -> float:
        content = json.loads(json.dumps(predictor.extract))
        change(content)
        changed = replace(predictor, extract=content)
        return float(changed.predict_clip(TALKING, text=WORDS, face_model=face_model()))

    with pytest.raises(InputError, match="was not trained on features that msa_jax extracted"):
        replace(predictor, extract=None).predict_clip(TALKING, text=WORDS)
    with pytest.raises(InputError, match="face model of SHA-256 0000"):
        predict(lambda content: content["vision"].update(model_sha256="0000"))
    with pytest.raises(InputError, match="audio is 'speech-v9'"):
        predict(lambda content: content["audio"].update(set="speech-v9"))
    with pytest.raises(InputError, match="the recipe of vision is not that of face-v1"):
        predict(lambda content: content["vision"].update(dim=57, names=content["vision"]["names"][1:]))
    with pytest.raises(InputError, match="the recipe of vision is not that of face-v1"):
        predict(lambda content: content["vision"].update(rate=30))
    narrow = replace(predictor.preprocessor, widths={**predictor.preprocessor.widths, "vision": 57})
    with pytest.raises(InputError, match=r"face-v1 with 58, but .* trained on 57"):
        replace(predictor, preprocessor=narrow).predict_clip(TALKING, text=WORDS, face_model=face_model())
    with pytest.raises(InputError, match="--openface: vision of this experiment is face-v1"):
        predictor.predict_clip(TALKING, text=WORDS, face_model=face_model(), openface=tmp_path)
    with pytest.raises(InputError, match="vision is none, but"):
        predict(lambda content: content.update(vision=None))
    with pytest.warns(DataWarning, match=r"ai-edge-litert is .*, was 1.0"):
        changed = predict(lambda content: content["vision"].update(tool_version="1.0"))
    assert changed == predict(lambda content: None)


@pytest.mark.slow
def test_features_that_somebody_has_already(tmp_path):
    random, named = np.random.default_rng(0), {"openface": tmp_path / "openface", "opensmile": tmp_path / "opensmile"}
    for number in range(4):
        rows = random.normal(size=(12, 3))
        for kind, time in (("openface", "timestamp"), ("opensmile", "frameTime")):
            (tmp_path / kind).mkdir(exist_ok=True)
            lines = [f"{time},x,y,z", *(f"{k / 25},{a},{b},{c}" for k, (a, b, c) in enumerate(rows))]
            (tmp_path / kind / f"vid0{number}_1.csv").write_text("\n".join(lines))
    raw = raw_folder(tmp_path / "raw", (CLIPS / "label.csv").read_text(), {})  # no clip is needed
    extract(raw, out=tmp_path / "data", cache=tmp_path / "cache", log=None, **named, **CARD)
    dataset = read_native(tmp_path / "data")
    np.testing.assert_allclose(dataset.test.vision[0], rows, rtol=1e-6)
    assert dataset.card.extract["vision"]["set"] == "openface-csv"
    assert dataset.card.extract["audio"]["rate"] == 25
    (tmp_path / "openface" / "vid02_1.csv").write_text("timestamp,x,y\n0,1,2\n0.1,1,2\n")
    with pytest.raises(InputError, match=r"vid02_1.csv: 2 features, expected the 3 of the other clips; .*: z"):
        extract(raw, out=tmp_path / "other", cache=tmp_path / "cache", log=None, **named, **CARD)


@pytest.mark.slow
def test_egemaps_by_opensmile(tmp_path):
    pytest.importorskip("opensmile")
    done = heard(tmp_path / "data", tmp_path / "cache", audio="egemaps-v02", audio_rate=25)
    assert done.dataset.train.audio.shape[-1] == 25
    assert "commercial" in done.dataset.card.caveats
    whole = heard(tmp_path / "whole", tmp_path / "cache", audio="egemaps-v02").dataset.train
    four = whole.audio[0, :4].astype(np.float64).mean(0)
    np.testing.assert_allclose(done.dataset.train.audio[0, 0], four, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_a_table_without_words_gives_a_dataset_without_text(tmp_path):
    table = (CLIPS / "label.csv").read_text().splitlines()
    rows = [
        table[0],
        *(f"vid0{k},1,,{k - 1},,,,P,{mode}" for k, mode in enumerate(("train", "train", "valid", "test"))),
    ]
    files = {f"Raw/vid0{k}/1.mp4": CLIPS / f"Raw/vid0{k}/1.mp4" for k in range(4)}
    raw = raw_folder(tmp_path / "raw", "\n".join(rows), files)
    with pytest.warns(DataWarning, match="no clip has a transcript"):
        extract(raw, out=tmp_path / "data", vision="none", cache=tmp_path / "cache", log=None, **CARD)
    assert read_native(tmp_path / "data").train.raw_text is None
    (raw / "Raw/vid00/1.srt").write_text("1\n00:00:00,000 --> 00:00:02,000\nfine\n")
    with pytest.raises(InputError, match="3 of 4 clips cannot be used"):
        extract(raw, out=tmp_path / "other", vision="none", cache=tmp_path / "cache", log=None, **CARD)
