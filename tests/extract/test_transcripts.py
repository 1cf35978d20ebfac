"""Words of clips, in the forms in which people have them."""

import json

import pytest

from msa_jax.errors import InputError
from msa_jax.extract.transcripts import beside, cmu, read_transcript

SRT = "1\n00:00:00,000 --> 00:00:01,500\n<i>I loved</i>\nthis film\n\n2\n00:01:02,250 --> 00:01:03,000\nvery much\n"
VTT = "WEBVTT\n\nNOTE made by hand\n\nfirst\n00:00.000 --> 00:01.500 align:start\nI <c.loud>loved</c> this film\n"


def written(folder, name, content):
    (folder / name).write_text(content, encoding="utf-8")
    return folder / name


def test_plain_text_on_several_lines(tmp_path):
    assert read_transcript(written(tmp_path, "a.txt", "\ufeff A fine\nfilm \n")).text == "A fine film"


def test_subrip(tmp_path):
    found = read_transcript(written(tmp_path, "a.srt", SRT))
    assert found.text == "I loved this film very much"
    assert found.pieces == ((0.0, 1.5, "I loved this film"), (62.25, 63.0, "very much"))
    assert found.between(60, 70) == "very much"
    assert read_transcript(written(tmp_path, "b.srt", SRT.replace("\n", "\r\n"))).pieces == found.pieces


def test_a_cue_ends_where_the_next_begins_also_without_an_empty_line(tmp_path):
    found = read_transcript(written(tmp_path, "a.srt", SRT.replace("\n\n", "\n")))
    assert found.pieces == read_transcript(written(tmp_path, "b.srt", SRT)).pieces
    bare = "00:00.000 --> 00:01.000\nin\n00:01.000 --> 00:02.000\n2012\n\n00:02.000 --> 00:03.000\nwe met\n"
    found = read_transcript(written(tmp_path, "a.vtt", f"WEBVTT\n\n{bare}"))
    assert found.pieces == ((0.0, 1.0, "in"), (1.0, 2.0, "2012"), (2.0, 3.0, "we met"))


def test_webvtt(tmp_path):
    assert read_transcript(written(tmp_path, "a.vtt", VTT)).pieces == ((0.0, 1.5, "I loved this film"),)


@pytest.mark.parametrize("name", ["a.vtt", "a.srt"])
def test_entities_are_characters(tmp_path, name):
    cue = "00:00:00.000 --> 00:00:01.000\n<i>fish</i> &amp; chips&nbsp;&lt;b&gt; R&D\n"
    assert read_transcript(written(tmp_path, name, cue)).text == "fish & chips <b> R&D"


def test_whisper_with_words_and_without(tmp_path):
    words = [{"word": " I", "start": 0.0, "end": 0.2}, {"word": " loved", "start": 0.2, "end": 0.6}]
    segment = {"start": 0.0, "end": 0.6, "text": " I loved"}
    plain = json.dumps({"text": " I loved", "segments": [segment]})
    timed = json.dumps({"text": " I loved", "segments": [{**segment, "words": words}]})
    assert read_transcript(written(tmp_path, "a.json", plain)).pieces == ((0.0, 0.6, "I loved"),)
    found = read_transcript(written(tmp_path, "b.json", timed))
    assert (found.text, found.between(0.2, 1.0)) == ("I loved", "loved")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", " \n"),
        ("a.srt", "no times"),
        ("a.json", "{"),
        ("a.json", "[1]"),
        ("a.json", '{"segments": [{"start": "x"}]}'),
        ("a.json", '{"segments": [{"start": 0, "end": 1, "text": ["a"]}]}'),
        ("a.json", '{"segments": [{"start": 0, "end": 1' + "0" * 400 + ', "text": "a"}]}'),
        ("a.json", '{"segments": [{"start": 0, "end": 1, "text": "a\\ud800"}]}'),
        ("a.srt", "1" * 5000 + ":00:00,000 --> 00:00:01,000\na\n"),
    ],
)
def test_files_without_words_are_refused(tmp_path, name, content):
    with pytest.raises(InputError, match=name):
        read_transcript(written(tmp_path, name, content))


def test_whole_texts_of_whisper_that_are_none_are_made_of_its_words(tmp_path):
    words = '{"start": 0, "end": 1, "word": " so"}, {"start": 1, "end": 2, "word": " it"}'
    content = f'{{"text": null, "segments": [{{"words": [{words}]}}]}}'
    assert read_transcript(written(tmp_path, "a.json", content)).text == "so it"


def test_text_that_is_no_unicode_is_refused(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not UTF-8"):
        read_transcript(tmp_path / "a.txt")


def test_beside_a_clip(tmp_path):
    assert beside(tmp_path / "a.mp4") is None
    written(tmp_path, "a.srt", SRT)
    assert beside(tmp_path / "a.mp4").source == "srt"
    written(tmp_path, "a.txt", "other words")
    assert beside(tmp_path / "a.mp4").text == "other words"


@pytest.mark.parametrize("linked", [True, False])
def test_a_link_out_of_the_folder_is_no_transcript_where_it_must_not_be(tmp_path, linked):
    inside = tmp_path / "inside"
    inside.mkdir()
    written(inside, "b.srt", SRT)
    (inside / "a.srt").symlink_to(inside / "b.srt")
    (inside / "a.txt").symlink_to(written(tmp_path, "secret.txt", "other words"))
    root = inside
    if linked:
        root = tmp_path / "root"
        root.symlink_to(inside)
    assert beside(root / "a.mp4").text == "other words"
    assert beside(root / "a.mp4", within=root).source == "srt"
    (inside / "a.srt").unlink()
    assert beside(root / "a.mp4", within=root) is None


def test_transcripts_of_cmu(tmp_path):
    folder = tmp_path / "Transcript" / "Segmented"
    (folder / "Combined").mkdir(parents=True)
    written(folder, "aaa.annotprocessed", "1_DELIM_ANYHOW IT WAS\n2_DELIM_REALLY GOOD\n")
    written(folder / "Combined", "bbb.txt", "bbb___0___0.0___2.5___It was___ good\nbbb___1___2.5___4___Bad\n")
    assert cmu(tmp_path, "aaa", "2").text == "REALLY GOOD"
    assert cmu(tmp_path, "bbb", "0").text == "It was___ good"
    assert cmu(tmp_path, "bbb", "7") is None
    assert cmu(tmp_path, "ccc", "1") is None
