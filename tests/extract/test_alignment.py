"""Frames that are aligned with the tokens of words, from the times at which words are said."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from msa_jax.data.tokenize import build_tokenizer
from msa_jax.errors import InputError
from msa_jax.extract.alignment import align, timed_pieces
from tests.extract.material import CLIPS

WORDS = ["I", "really", "loved", "this", "movie,", "it", "was", "wonderful"]
# A vocabulary in which "wonderful" is several pieces.
TOKENIZER = build_tokenizer(["I really loved this movie , it was", "a film was good", "full of wonder"], vocab_size=60)


def said(words=WORDS, first=0.1, each=0.25):
    """(start, end, word): words of a quarter of a second, one after another."""
    return [(first + each * k, first + each * (k + 1), word) for k, word in enumerate(words)]


def whisper(pieces) -> str:
    words = [{"start": start, "end": end, "word": f" {word}"} for start, end, word in pieces]
    return json.dumps({"text": "as Whisper writes it, with other words", "segments": [{"words": words}]})


def test_each_token_has_the_mean_over_its_word():
    frames = np.random.default_rng(0).normal(size=(110, 3)).astype(np.float32)
    pieces = said()
    text, found = align(pieces, {"audio": (frames, 50.0), "vision": (frames[:33], 15.0)}, TOKENIZER, max_tokens=50)
    assert text == " ".join(WORDS)
    _, mask = TOKENIZER.encode([text], max_tokens=50)
    assert len(found["audio"]) == len(found["vision"]) == mask.sum()
    # By hand: the pieces of each word by itself, in the order of the words.
    of_word = []
    for number, word in enumerate(WORDS):
        _, ones = TOKENIZER.encode([word], max_tokens=50)
        of_word += [number] * (int(ones.sum()) - 2)
    assert len(of_word) == mask.sum() - 2 > len(WORDS)
    for name, rate in (("audio", 50.0), ("vision", 15.0)):
        np.testing.assert_array_equal(found[name][[0, -1]], np.zeros((2, 3)))
        for token, number in enumerate(of_word, start=1):
            start, end, _ = pieces[number]
            expected = frames[round(start * rate) : round(end * rate)].astype(np.float64).mean(0)
            np.testing.assert_allclose(found[name][token], expected, rtol=1e-6)


def test_words_at_the_edges_have_a_frame():
    frames = np.arange(10, dtype=np.float32)[:, None]
    pieces = [(0.0, 0.0, "good"), (0.31, 0.32, "good"), (5.0, 9.0, "good"), (0.2, 0.4, " ")]
    text, found = align(pieces, {"audio": (frames, 10.0)}, TOKENIZER, max_tokens=50)
    assert text == "good good good"
    per_word = (len(found["audio"]) - 2) // 3
    assert found["audio"][1:-1, 0].tolist() == [value for value in (0.0, 3.0, 9.0) for _ in range(per_word)]
    text, found = align([], {"audio": (frames, 10.0)}, TOKENIZER, max_tokens=50)
    assert (text, found["audio"].tolist()) == ("", [[0.0], [0.0]])  # the special tokens alone


def test_the_words_of_a_piece_share_its_frames_and_what_is_too_long_is_cut():
    frames = np.arange(20, dtype=np.float32)[:, None]
    _, found = align([(0, 1, "a good film"), (1, 2, "was good")], {"audio": (frames, 10.0)}, TOKENIZER, max_tokens=50)
    assert set(found["audio"][1:-1, 0].tolist()) == {4.5, 14.5}
    assert (np.diff(found["audio"][1:-1, 0]) >= 0).all()
    _, cut = align([(0, 1, "a good film"), (1, 2, "was good")], {"audio": (frames, 10.0)}, TOKENIZER, max_tokens=4)
    assert cut["audio"][:, 0].tolist() == [0.0, 4.5, 4.5, 0.0]


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ([(1.0, 0.5, "good")], "'good' is said from 1 to 0.5 s"),
        ([(float("nan"), 1.0, "good")], "'good' is said from nan to 1 s"),
        ([(0.0, float("inf"), "good")], "'good' is said from 0 to inf s"),
        ([(-5.0, -3.0, "good")], "'good' is said from -5 to -3 s"),
        ([(0.0, 1.0, "a"), (40.0, 50.0, "good")], "'good' is said at 40 s, and the clip ends after 2.5 s"),
        ([(2.2, 2.4, "good")], "no words with times in its first 2 s"),
        ([(0.0, 1.0, " ")], "no words with times in its first 2 s"),
        ([], "no words with times$"),
    ],
)
def test_times_that_are_none_are_refused(pieces, message):
    with pytest.raises(InputError, match=message):
        timed_pieces(pieces, seconds=2.5, most_seconds=2.0)


def test_words_that_are_not_read_are_left_out():
    assert timed_pieces(said(), seconds=2.5, most_seconds=0.5) == said()[:2]


def raw_with_times(folder):
    """The clips with Whisper's JSON beside each."""
    raw = shutil.copytree(CLIPS, folder / "raw", ignore=shutil.ignore_patterns("bad"))
    for number, clip in enumerate(sorted(raw.glob("Raw/*/*.mp4"))):
        clip.with_suffix(".json").write_text(whisper(said(first=0.1 + 0.05 * number)))
    return raw


def heard(raw, out, **named):
    """A dataset of sound alone, which needs no face model."""
    pytest.importorskip("av")
    from msa_jax.extract import extract

    card = {"name": "clips", "language": "en", "label_range": (-3, 3), "metrics": "regression"}
    named = {"align": "words", "vision": "none", "cache": out.parent / "cache", "workers": 1, "log": None, **named}
    return extract(raw, out=out, **card, **named)


@pytest.mark.slow
def test_a_dataset_is_aligned_with_the_tokens_of_training(tmp_path):
    from msa_jax.data import read_native
    from msa_jax.extract import Recipe

    raw = raw_with_times(tmp_path)
    heard(raw, tmp_path / "data")
    dataset = read_native(tmp_path / "data")
    tokenizer = build_tokenizer(list(dataset.train.raw_text))
    for split in dataset.splits().values():
        _, mask = tokenizer.encode(list(split.raw_text), max_tokens=50)
        np.testing.assert_array_equal(mask.sum(1), split.audio_length)
    recipe = Recipe.from_json(dataset.card.extract, "card")
    assert recipe.align.vocabulary_sha256 == tokenizer.vocabulary_sha256()
    assert (recipe.align.text_encoder, recipe.align.max_tokens, recipe.text) == ("scratch", 50, "json")
    assert dataset.card.modalities["audio"] == "speech-v1, 25-d, a frame for each token"
    # Frames of the same clips without alignment, by hand.
    heard(raw, tmp_path / "frames", align=None)
    whole = read_native(tmp_path / "frames").train.audio[0]
    np.testing.assert_allclose(dataset.train.audio[0, 1], whole[5:18].mean(0), rtol=1e-5, atol=1e-5)
    for one in sorted(raw.glob("Raw/*/*.json"))[:1]:
        one.write_text(whisper([(1.0, 0.5, "good")]))
    with pytest.raises(InputError, match=r"1 of 4 clips.*'good' is said from 1 to 0.5 s"):
        heard(raw, tmp_path / "again")
    for one in raw.glob("Raw/*/*.json"):
        one.unlink()
    with pytest.raises(InputError, match=r"none of 4 clips can be used; the first, vid00\$_\$1: no words with times"):
        heard(raw, tmp_path / "again")
    with pytest.raises(InputError, match="align is 'faces'"):
        heard(raw, tmp_path / "again", align="faces")
    assert not (tmp_path / "again").exists()


@pytest.mark.slow
def test_a_method_for_aligned_data_trains_and_scores_a_clip_as_its_split(tmp_path, monkeypatch):
    from msa_jax import Predictor
    from msa_jax.data import read_native
    from tests.tiny import train_quick

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    raw = raw_with_times(tmp_path)
    heard(raw, tmp_path / "data")
    dataset = read_native(tmp_path / "data")
    train_quick("ef_lstm", dataset, tmp_path / "run", options={"max_tokens": 50})
    predictor = Predictor.load(tmp_path / "run")
    assert predictor.inputs.aligned
    clip = raw / "Raw/vid03/1.mp4"
    found = predictor.predict_clip(clip, window=1.0)
    assert float(found) == pytest.approx(predictor.predict(dataset.test)[0], abs=1e-6)
    assert len(found.windows) > 1
    with pytest.raises(InputError, match="needs the times of words"):
        predictor.predict_clip(clip, text="It was good")
    with pytest.raises(InputError, match="text cannot be missing"):
        predictor.predict_clip(clip, missing=["text"])
    other = replace(predictor.preprocessor, tokenizer=TOKENIZER)
    with pytest.raises(InputError, match="aligned with the tokens of scratch"):
        replace(predictor, preprocessor=other).predict_clip(clip)
    clip.with_suffix(".json").unlink()
    with pytest.raises(InputError, match="no words with times"):
        predictor.predict_clip(clip)
