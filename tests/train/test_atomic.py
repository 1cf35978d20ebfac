"""Small files that are whole or absent."""

import json
import math

import numpy as np
import pytest

from msa_jax.errors import InputError
from msa_jax.train import atomic


def names(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_text_and_folders_above_it_are_written(tmp_path):
    atomic.write_text(tmp_path / "a" / "b.txt", "Grüße\n")
    assert (tmp_path / "a" / "b.txt").read_bytes() == "Grüße\n".encode()
    assert names(tmp_path / "a") == {"b.txt"}


def test_a_file_that_cannot_be_finished_leaves_the_old_one_and_no_other(tmp_path):
    path = tmp_path / "arrays.npz"
    atomic.write_arrays(path, {"x": np.arange(3)})
    before = path.read_bytes()

    class Broken:
        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("no array")

    with pytest.raises(RuntimeError):
        atomic.write_arrays(path, {"x": np.arange(1000), "y": Broken()})
    assert path.read_bytes() == before
    assert names(tmp_path) == {"arrays.npz"}


def test_where_nothing_can_be_written_the_error_names_the_file(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "x.csv", tmp_path / "folder"):
        with pytest.raises(InputError, match=f"{path}: cannot be written"):
            atomic.write_text(path, "x")
    assert names(tmp_path) == {"file", "folder"}


def test_not_a_number_becomes_null(tmp_path):
    atomic.write_json(
        tmp_path / "a.json", {"a": [math.nan, 1.5], "b": {"c": math.inf}, "d": (float(np.float64("nan")),)}
    )
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": [None, 1.5], "b": {"c": None}, "d": [None]}


def test_arrays_are_written_without_pickle(tmp_path):
    atomic.write_arrays(tmp_path / "a.npz", {"valid/prediction": np.arange(3.0), "id": np.array(["ä", "b"])})
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        assert file["valid/prediction"].tolist() == [0, 1, 2]
        assert file["id"].tolist() == ["ä", "b"]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe{}"])
def test_what_is_not_json_is_an_input_error(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.json: not JSON"):
        atomic.read_json(tmp_path / "a.json")


def test_a_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match=r"a\.json: cannot be read"):
        atomic.read_json(tmp_path / "a.json")


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive"])
def test_arrays_that_cannot_be_read_are_an_input_error(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.npz: cannot be read"):
        atomic.read_arrays(tmp_path / "a.npz")
