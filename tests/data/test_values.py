"""Columns of files that are made to hang a reader or to fill its memory: refused before anything of that happens."""

import pickle
import zipfile

import numpy as np
import pytest

from msa_jax.data import load_dataset, native, read_native, values, write_native
from msa_jax.data.native import read_npz
from msa_jax.data.samples import load_split
from msa_jax.data.values import Place, numbers, texts
from msa_jax.data.videos import videos_of
from msa_jax.errors import InputError
from msa_jax.testing import tiny_dataset
from tests.cmu_writer import cmu_content
from tests.mmsa_writer import mmsa_content

PLACE = Place(source="there", split="train")


@pytest.mark.parametrize("shape", [(10**12, 0, 5), (10**12, 5, 0)])
@pytest.mark.parametrize("content", [mmsa_content, lambda: cmu_content()[0]], ids=["mmsa", "cmu"])
def test_rows_without_values_are_refused_at_once(tmp_path, content, shape):
    made = content()
    made["train"]["audio"] = np.empty(shape)
    path = tmp_path / "data.pkl"
    path.write_bytes(pickle.dumps(made))
    for read in (load_dataset, lambda path: load_split(path, "train")):
        with pytest.raises(InputError, match=r"split train, column audio: shape .*; expected no size zero"):
            read(path)


@pytest.mark.parametrize("names", [("audio",), ("vision", "audio"), ("text_bert",)])
def test_samples_without_values_are_refused_at_once(tmp_path, names):
    path = tmp_path / "new.pkl"
    path.write_bytes(pickle.dumps({name: np.empty((10**12, 0, 5)) for name in names}))
    with pytest.raises(InputError, match="expected no size zero"):
        load_split(path)
    np.savez(tmp_path / "new.npz", **{name: np.empty((10**12, 0, 5)) for name in names})
    with pytest.raises(InputError, match="expected no size zero"):
        load_split(tmp_path / "new.npz")


def nested(depth: int) -> list:
    """One list of ten, which holds one list of ten, ..."""
    part = [0.0] * 10
    for _ in range(depth):
        part = [part] * 10
    return part


def test_lists_that_hold_one_list_again_and_again_are_refused():
    own = [1.0]
    own.append(own)
    array = np.empty(10, object)
    array[:] = [nested(12)] * 10
    for value in (nested(6), nested(30), own, array):
        with pytest.raises(InputError, match="train, column audio: lists that hold the same lists again and again"):
            numbers(PLACE, "audio", value, "float32")
    assert len(pickle.dumps(nested(6))) < 600


def test_a_frame_that_many_rows_share_is_read():
    frame = [0.0] * 20
    rows = [[frame] * 50 for _ in range(30)]
    assert numbers(PLACE, "audio", rows, "float32").shape == (30, 50, 20)


def test_one_far_too_long_text_is_refused(monkeypatch):
    monkeypatch.setattr(values, "LARGEST_TEXTS", 4 * 10 * 50)
    with pytest.raises(InputError, match=r"column raw_text, row 9: 51 characters; expected at most 50 in 10 texts"):
        texts(PLACE, "raw_text", ["a"] * 9 + ["b" * 51])


@pytest.mark.parametrize("whole_numbers", [True, False])
def test_a_whole_number_of_thousands_of_digits_is_no_text(whole_numbers):
    with pytest.raises(
        InputError, match=r"train, column id, row 1: (a whole number of thousands of digits|int); expected"
    ):
        texts(PLACE, "id", ["a", 10**5000], whole_numbers=whole_numbers)


def test_arrays_that_are_blank_in_a_small_file_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(native, "LARGEST_BLANK", 2**20)
    path = tmp_path / "new.npz"
    np.savez_compressed(path, audio=np.zeros(2**20))
    with pytest.raises(InputError, match=r"new.npz: audio: 8,388,\d+ bytes out of \d,\d+; expected data"):
        read_npz(path)
    np.savez_compressed(path, **{f"c{number}": np.zeros(2**16) for number in range(9)})
    with pytest.raises(InputError, match=r"new.npz: all columns: 4,719,\d+ bytes out of"):
        read_npz(path)
    np.savez(path, audio=np.zeros(2**20))
    assert read_npz(path)["audio"].size == 2**20


def test_a_column_is_read_to_its_end(tmp_path):
    path = tmp_path / "new.npz"
    np.savez(path, audio=np.arange(9.0))
    with zipfile.ZipFile(path) as archive:
        content = archive.read("audio.npy")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("audio.npy", content + b"\0")
    with pytest.raises(InputError, match=r"column audio: truncated, altered .*bytes behind the last value"):
        read_npz(path)


def test_videos_of_long_ids_are_found_at_once():
    assert videos_of(["v" + "_1" * 200_000 + "x", "v" + "_1" * 200_000]).tolist()[1] == "v"


def test_a_number_of_thousands_of_digits_in_a_card_is_refused(tmp_path):
    folder = write_native(tiny_dataset(), tmp_path / "d")
    (folder / "card.json").write_text('{"name": "a", "format": 1' + "0" * 5000 + "}")
    with pytest.raises(InputError, match=r"card\.json: not JSON: a number of 5001 digits"):
        read_native(folder)
    (folder / "card.json").write_text('{"name": "a", "label_range": [NaN, 1]}')
    with pytest.raises(InputError, match=r"card\.json: not JSON: holds NaN; expected a number"):
        read_native(folder)


@pytest.mark.parametrize("entry", ["name", "language"])
def test_a_card_of_half_a_character_is_refused(tmp_path, entry):
    write_native(tiny_dataset(), tmp_path / "d")
    with pytest.raises(InputError, match=rf"{entry} of the card is 'a\\udcff', expected Unicode text"):
        load_dataset(tmp_path / "d", **{entry: "a\udcff"})
