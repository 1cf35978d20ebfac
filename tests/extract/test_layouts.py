"""Folders of clips and their tables."""

import json
import warnings
from math import nan

import pytest

from msa_jax.data import table_rows
from msa_jax.errors import DataWarning, InputError
from msa_jax.extract.layouts import read_raw, split_by_video

HEAD = "video_id,clip_id,text,label,label_T,label_A,label_V,annotation,mode\n"


def made(folder, table, files=(), name="label.csv"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(table, encoding="utf-8")
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    return folder


def test_the_layout_of_mmsa(tmp_path):
    rows = "v,0001,fine,1.0,0.5,,1,Positive,train\nw,2,bad,-1.0,0.5,,1,Negative,valid\n"
    raw = made(tmp_path, HEAD + rows, ["Raw/v/0001.mp4", "Raw/v/0001.wav", "Raw/w/2.avi"])
    found = read_raw(raw)
    first, second = found.clips
    assert (first.id, first.path, first.text, first.split) == ("v$_$0001", raw / "Raw/v/0001.mp4", "fine", "train")
    assert first.labels == {"label": 1.0, "label_t": 0.5, "label_v": 1.0}  # label_A is empty
    assert second.path == raw / "Raw/w/2.avi"


def test_a_label_of_zero_that_is_a_number_is_a_label(tmp_path):
    rows = [
        {"path": f"{n}.mp4", "label": 0, "label_T": 0, "label_A": 0.0, "label_V": None, "text": None} for n in range(2)
    ]
    raw = made(tmp_path, "\n".join(map(json.dumps, rows)), name="mine.jsonl")
    for clip in read_raw(raw / "mine.jsonl").clips:
        assert clip.labels == {"label": 0, "label_t": 0, "label_a": 0}
        assert clip.text is None


def test_what_a_parquet_has_no_value_for_is_empty(tmp_path, monkeypatch):
    rows = [
        table_rows.Row(where=f"row {n}", cells={"path": f"{n}.mp4", "label": 1.0, "text": nan, "label_t": nan})
        for n in (1, 2)
    ]
    monkeypatch.setattr(table_rows, "read_rows", lambda path: rows)
    clip, _ = read_raw(made(tmp_path, "", name="mine.parquet") / "mine.parquet").clips
    assert (clip.text, clip.labels) == (None, {"label": 1})


def test_meta_csv_is_read_too_but_not_both(tmp_path):
    raw = made(tmp_path, HEAD + "v,1,fine,1,,,,P,train\n", ["Raw/v/1.mp4"], name="meta.csv")
    assert read_raw(raw).table == raw / "meta.csv"
    made(tmp_path, HEAD + "v,1,fine,2,,,,P,train\n")
    with pytest.raises(InputError, match=r"both label.csv and meta.csv; .*--labels FILE"):
        read_raw(raw)
    assert read_raw(raw, raw / "label.csv").clips[0].labels == {"label": 2.0}


def test_segments_of_cmu(tmp_path):
    raw = made(tmp_path, "video_id,clip_id,label\nabc_d,3,1\n", ["Video/Segmented/abc_d_3.mp4"], name="labels.csv")
    (clip,) = read_raw(raw, raw / "labels.csv").clips
    assert clip.path == raw / "Video/Segmented/abc_d_3.mp4"
    assert (clip.video, clip.clip, clip.text, clip.split) == ("abc_d", "3", None, None)


def test_any_table_with_paths(tmp_path):
    raw = made(tmp_path, "path,label,text\nsome/a.mp4,1,x\nb.webm,0,y\n", ["some/a.mp4"], name="mine.csv")
    first, second = read_raw(raw / "mine.csv").clips
    assert (first.id, first.path, first.video) == ("some/a", raw / "some/a.mp4", "some/a")
    assert second.path is None
    assert "b.webm" in second.missing


@pytest.mark.parametrize("path", [".", "./", "/"])
def test_a_path_that_names_no_file_is_refused(tmp_path, path):
    raw = made(tmp_path, f"path,label\na.mp4,1\n{path},1\n", name="mine.csv")
    with pytest.raises(InputError) as error:
        read_raw(raw / "mine.csv")
    assert str(error.value) == f"{raw / 'mine.csv'}: line 3, column path: '{path}'; expected a file"


def test_a_clip_id_that_lost_its_zeros_is_explained(tmp_path):
    raw = made(tmp_path, HEAD + "v,1,fine,1,,,,P,train\n", ["Raw/v/0001.mp4"])
    (clip,) = read_raw(raw).clips
    assert clip.path is None
    assert "there is 0001.mp4, so clip_id must be written 0001" in clip.missing


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("video_id,clip_id,text\nv,1,x\n", "column label is missing; found video_id, clip_id, text"),
        ("video_id,text,label\nv,x,1\n", "column clip_id is missing"),
        (HEAD + "v,1,x,nan,,,,P,train\n", "line 2, column label: 'nan'; expected a number"),
        (HEAD + "v,1,x,,,,,P,train\n", "line 2, column label: nothing"),
        (HEAD + "v,1,x,1,,,,P,training\n", "line 2, column mode: 'training'; expected train, valid or test"),
        (HEAD + "v,,x,1,,,,P,train\n", "line 2, column clip_id: nothing"),
        (HEAD + "v,1,x,1,,,,P,train\nv,1,x,1,,,,P,test\n", "line 3, column video_id: 'v$_$1', which line 2 has"),
        (HEAD, "no rows"),
        (HEAD + "v,1,x\n", "line 2: 3 cells; expected 9"),
    ],
)
def test_tables_that_are_wrong_say_where(tmp_path, table, said):
    raw = made(tmp_path, table)
    with pytest.raises(InputError) as error:
        read_raw(raw)
    assert said in str(error.value)


GOOD = {"video_id": "v", "clip_id": 1, "text": "x", "label": 1, "mode": "train"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mode": None}, "line 2, column mode: missing; expected it, because other rows have it"),
        ({"label": None}, "line 2, column label: missing; expected it, because other rows have it"),
        ({"clip_id": None}, "line 2, column clip_id: missing"),
        ({"text": None}, "line 2, column text: missing"),
        ({"text": ["x", "y"]}, "line 2, column text: list; expected text"),
        ({"text": 5}, "line 2, column text: 5; expected text"),
        ({"clip_id": 1.5}, "line 2, column clip_id: 1.5; expected text or a whole number"),
        ({"id": ["v"]}, "line 1, column id: missing"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_lines_of_objects_that_are_wrong_say_where(tmp_path, change, said, first):
    other = {key: value for key, value in {**GOOD, "clip_id": 2, **change}.items() if value is not None}
    rows = [other, GOOD] if first else [GOOD, other]
    if first:
        said = said.replace("line 2", "line 3").replace("line 1", "line 2").replace("line 3", "line 1")
    raw = made(tmp_path, "\n".join(map(json.dumps, rows)), name="mine.jsonl")
    with pytest.raises(InputError) as error:
        read_raw(raw, raw / "mine.jsonl")
    assert said in str(error.value)


def test_without_a_table_or_a_folder(tmp_path):
    with pytest.raises(InputError, match=r"neither label.csv nor meta.csv"):
        read_raw(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        read_raw(tmp_path / "none")


def test_clips_are_split_by_video(tmp_path):
    rows = "".join(f"v{k},{n},x,1\n" for k in range(10) for n in range(3))
    raw = made(tmp_path, "video_id,clip_id,text,label\n" + rows)
    clips = read_raw(raw).clips
    with pytest.warns(
        DataWarning, match=r"10 videos shuffled with seed 0, each in one split \(train 21, valid 3, test 6"
    ):
        first = split_by_video(clips, seed=0, source="a")
    with pytest.warns(DataWarning):
        again, other = (split_by_video(clips, seed=seed, source="a") for seed in (0, 1))
    videos = {name: {clip.video for clip in part} for name, part in first.items()}
    assert not videos["train"] & videos["valid"]
    assert not videos["train"] & videos["test"]
    assert again == first
    assert other != first
    with pytest.raises(InputError, match="clips of 2 videos"):
        split_by_video(clips[:6], seed=0, source="a")


def test_splits_of_the_table_are_kept(tmp_path):
    raw = made(tmp_path, HEAD + "".join(f"v,{n},x,1,,,,P,{mode}\n" for n, mode in enumerate(("train", "dev", "test"))))
    clips = read_raw(raw).clips
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = split_by_video(clips, seed=0, source="a")
    assert [len(part) for part in found.values()] == [1, 1, 1]
    with pytest.raises(InputError, match="no clip is test"):
        split_by_video(clips[:2], seed=0, source="a")
