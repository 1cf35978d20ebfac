"""What prediction reads: one split from wherever it lies, texts line by line, columns that somebody made."""

import json
import pickle

import numpy as np
import pytest

from msa_jax.data import Split, load_dataset, make_synthetic, read_mmsa, write_native
from msa_jax.data.samples import check_samples, load_split, read_texts
from msa_jax.errors import DataWarning, InputError
from msa_jax.testing import tiny_dataset
from tests.cmu_writer import cmu_content
from tests.mmsa_writer import write_mmsa

DATASET = tiny_dataset()
NEEDED = ("raw_text", "audio", "audio_length", "vision", "vision_length")


def bare(split: Split) -> dict[str, np.ndarray]:
    """No ids, no labels, no lengths."""
    return {name: getattr(split, name) for name in ("raw_text", "audio", "vision")}


def assert_same(split: Split, other: Split, names: tuple[str, ...] = NEEDED) -> None:
    for name in names:
        np.testing.assert_array_equal(getattr(split, name), getattr(other, name))


def test_a_whole_folder_gives_its_test_split_and_others_by_name(tmp_path):
    write_native(DATASET, tmp_path / "d")
    assert_same(load_split(tmp_path / "d"), DATASET.test, (*NEEDED, "id", "label"))
    assert_same(load_split(tmp_path / "d", "valid"), DATASET.valid, (*NEEDED, "id", "label"))
    assert load_split(DATASET, "train") is DATASET.train


@pytest.mark.parametrize("name", ["valid", "test"])
def test_a_folder_with_one_split_is_enough(tmp_path, name):
    np.savez(tmp_path / f"{name}.npz", **bare(DATASET.test))
    split = load_split(tmp_path)
    assert_same(split, DATASET.test, ("raw_text", "audio", "vision"))
    assert split.id.tolist() == [str(row) for row in range(8)]
    assert np.isnan(split.label).all()
    assert_same(split, DATASET.test, ("audio_length", "vision_length"))  # as the zeros at the end tell
    with pytest.raises(InputError, match=f"no split train; found {name}"):
        load_split(tmp_path, "train")


def test_an_npz_file_is_a_split(tmp_path):
    np.savez(tmp_path / "new.npz", **DATASET.valid.columns())
    assert_same(load_split(tmp_path / "new.npz"), DATASET.valid, (*NEEDED, "id", "label"))


@pytest.mark.parametrize("nested", [True, False])
def test_a_pickle_with_one_split_is_enough(tmp_path, nested):
    path = tmp_path / "new.pkl"
    columns = bare(DATASET.test)
    path.write_bytes(pickle.dumps({"test": columns} if nested else columns))
    split = load_split(path)
    assert_same(split, DATASET.test, ("raw_text", "audio", "vision"))
    assert len(split) == 8


def test_a_whole_pickle_gives_what_reading_the_dataset_gives(tmp_path):
    path = write_mmsa(tmp_path / "mosi.pkl")
    with pytest.warns(DataWarning, match="split test, column audio: 2 NaN or infinite values"):
        split = load_split(path)
    with pytest.warns(DataWarning, match="column audio: 6 NaN or infinite values"):
        dataset = read_mmsa(path, name="mosi")
    assert_same(split, dataset.test, (*NEEDED, "id", "label"))


def test_a_table_of_texts_is_one_split_without_labels_and_ids(tmp_path):
    path = tmp_path / "new.csv"
    path.write_text("text,label\nfine,\nbad,-1.5\n", encoding="utf-8")
    split = load_split(path)
    assert split.raw_text.tolist() == ["fine", "bad"]
    assert split.id.tolist() == ["1", "2"]
    np.testing.assert_array_equal(split.label, np.array([np.nan, -1.5], np.float32))
    path.write_text("id,text\na,fine\na,bad\n", encoding="utf-8")
    with pytest.raises(InputError, match="line 3, column id: 'a', which line 2 has"):
        load_split(path)
    path.write_text("id,label\na,1\n", encoding="utf-8")
    with pytest.raises(InputError, match="column text is missing; found id, label, expected text, and if there are id"):
        load_split(path)


def test_a_table_with_splits_gives_the_split_that_is_asked_for(tmp_path):
    path = tmp_path / "new.jsonl"
    rows = [("a", "train", "x"), ("b", "dev", "y"), ("c", "test", "z"), ("d", "val", "w")]
    lines = [json.dumps({"id": name, "split": split, "text": text}) for name, split, text in rows]
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.warns(DataWarning, match="the 1 rows of split test are read, and 3 of train and valid are not"):
        assert load_split(path).id.tolist() == ["c"]
    assert load_split(path, "valid").raw_text.tolist() == ["y", "w"]
    assert np.isnan(load_split(path, "valid").label).all()
    path.write_text(lines[0], encoding="utf-8")
    with pytest.raises(InputError, match="no split valid; found train"):
        load_split(path, "valid")
    assert load_split(path).id.tolist() == ["a"]


def padded_in_front(array: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    rows = zip(array, lengths, strict=True)
    return np.stack([np.roll(row, len(row) - length, axis=0) for row, length in rows])


def test_padding_in_front_of_the_frames_is_moved_behind_them(tmp_path):
    test = DATASET.test
    audio = padded_in_front(test.audio, test.audio_length)
    np.savez(tmp_path / "new.npz", **{**bare(test), "audio": audio, "audio_length": test.audio_length})
    with pytest.warns(DataWarning, match="the padding was in front"):
        split = load_split(tmp_path / "new.npz")
    np.testing.assert_array_equal(split.audio, test.audio)


@pytest.mark.filterwarnings("ignore::msa_jax.errors.DataWarning")
@pytest.mark.parametrize("aligned", [True, False])
def test_a_file_of_mult_gives_the_same_features_without_labels(tmp_path, aligned):
    content, _ = cmu_content(aligned=aligned)
    path = tmp_path / "new.pkl"
    path.write_bytes(pickle.dumps(content["test"]))
    labelled = load_split(path)
    path.write_bytes(pickle.dumps({key: value for key, value in content["test"].items() if key != "labels"}))
    split = load_split(path)
    assert_same(split, labelled, ("id", "text", "audio", "audio_length", "vision", "vision_length"))
    assert np.isnan(split.label).all()
    assert not np.isnan(labelled.label).any()


def test_padding_in_front_of_text_features_is_moved_behind_them(tmp_path):
    lengths = np.array([1, 3, 5])
    text = np.ones((3, 5, 2), np.float32) * (np.arange(5) < lengths[:, None])[..., None]
    np.savez(tmp_path / "new.npz", text=padded_in_front(text, lengths))
    with pytest.warns(
        DataWarning, match=r"column text: in 2 of 3 samples the padding was in front; it was moved behind"
    ):
        np.testing.assert_array_equal(load_split(tmp_path / "new.npz").text, text)


def test_a_text_whose_first_word_is_unknown_has_no_padding_if_its_frames_fill_all_steps(tmp_path):
    text = np.ones((1, 5, 2), np.float32)
    text[0, 0] = 0
    np.savez(tmp_path / "new.npz", text=text, audio=np.ones((1, 5, 3), np.float32), audio_length=[5])
    np.testing.assert_array_equal(load_split(tmp_path / "new.npz").text, text)


def test_text_features_with_a_mask_stay_where_they_are(tmp_path):
    text = np.ones((1, 4, 2), np.float32)
    text[0, 0] = 0
    bert = np.array([[[101, 7, 102, 0], [1, 1, 1, 0], [0] * 4]], np.int32)
    np.savez(tmp_path / "new.npz", text=text, text_bert=bert)
    np.testing.assert_array_equal(load_split(tmp_path / "new.npz").text, text)


def test_features_of_a_file_that_are_not_finite_are_replaced_and_counted(tmp_path):
    columns = bare(DATASET.test)
    columns["audio"] = columns["audio"].copy()
    columns["audio"][2, 0] = np.inf
    np.savez(tmp_path / "new.npz", **columns)
    with pytest.warns(DataWarning, match="column audio: 3 NaN or infinite values replaced by 0"):
        split = load_split(tmp_path / "new.npz")
    assert not split.audio[2, 0].any()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"raw_text": np.array(["a", "b"]), "audio": np.ones((3, 2, 3))}, "column audio: 3 rows; expected 2"),
        ({"raw_text": np.array([1, 2])}, "column raw_text.*expected text"),
        ({"raw_txt": np.array(["a"]), "raw_text": np.array(["a"])}, "raw_txt: unknown column"),
        ({"raw_text": np.array(["a"]), "label": np.array(["good"])}, "column label: <U4"),
        ({}, "no column"),
    ],
)
def test_a_file_of_wrong_columns_is_an_input_error(tmp_path, columns, message):
    np.savez(tmp_path / "new.npz", **columns)
    with pytest.raises(InputError, match=message):
        load_split(tmp_path / "new.npz")


@pytest.mark.parametrize("source", ["synthetic", DATASET])
def test_a_split_that_no_dataset_has_is_an_input_error(source):
    with pytest.raises(InputError, match="no split 'dev'; expected one of train, valid, test"):
        load_split(source, "dev")


def test_a_folder_of_a_newer_format_is_refused(tmp_path):
    folder = write_native(DATASET, tmp_path / "d")
    content = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**content, "format": 99}))
    with pytest.raises(InputError, match=r"card\.json: .*99"):
        load_split(folder)


def test_synthetic_is_the_one_that_is_made_up_whatever_lies_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_native(DATASET, tmp_path / "synthetic")
    expected = make_synthetic()
    with pytest.warns(DataWarning, match=r"not what lies here under this name, which is \./synthetic"):
        assert load_split("synthetic").id.tolist() == expected.test.id.tolist()
    with pytest.warns(DataWarning, match="synthetic: the dataset that is made up"):
        assert load_dataset("synthetic").fingerprint() == expected.fingerprint()
    assert (
        load_split("./synthetic").id.tolist()
        == load_dataset("./synthetic").test.id.tolist()
        == DATASET.test.id.tolist()
    )


def test_what_is_nothing_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        load_split(tmp_path / "nothing")


def test_labels_are_not_read():
    assert np.isnan(check_samples(Split(raw_text=["a", "b"])).label).all()


# -- texts ------------------------------------------------------------------------------------------------------------


def test_each_line_is_a_text():
    split = read_texts("\ufeffgut\r\n\nsehr schön\u2028ja".encode(), source="-")
    assert split.raw_text.tolist() == ["gut", "", "sehr schön\u2028ja"]
    assert split.id.tolist() == ["1", "2", "3"]
    assert len(read_texts(b"one\n", source="-")) == 1


@pytest.mark.parametrize(("content", "message"), [(b"", "no text"), (b"a\n\xff\n", "line 2 is not UTF-8")])
def test_what_is_no_text_is_an_input_error(content, message):
    with pytest.raises(InputError, match=message):
        read_texts(content, source="file")


# -- splits by hand ---------------------------------------------------------------------------------------------------


def test_texts_of_pandas_are_texts():
    assert Split(raw_text=np.array(["a", "bc"], object)).raw_text.dtype == np.dtype("<U2")  # pyright: ignore


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, "no column"),
        ({"raw_text": "good"}, "column raw_text is a str; expected text"),
        ({"audio": 3.0}, "column audio is a float"),
        ({"audio": np.float32(3)}, "column audio is a float32"),
        ({"audio": [[1.0], [1.0, 2.0]]}, "column audio: rows of different shapes"),
        ({"audio": np.array([np.ones((3, 2)), np.ones((4, 2))], object)}, "column audio: rows of different shapes"),
    ],
)
def test_what_is_no_column_is_an_input_error(columns, message):
    with pytest.raises(InputError, match=message):
        Split(**columns)
