"""The model file: where it is looked for, and that another one is refused."""

import hashlib

import pytest

from msa_jax.errors import InputError
from msa_jax.extract import face_model


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A file that stands in for the model at its address, and an empty cache."""
    there = tmp_path / "there.task"
    there.write_bytes(b"networks")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(face_model.VARIABLE, raising=False)
    monkeypatch.setattr(face_model, "ADDRESS", there.as_uri())
    monkeypatch.setattr(face_model, "SHA256", hashlib.sha256(b"networks").hexdigest())
    return there


def test_it_is_fetched_once_and_kept(served):
    path = face_model.find_face_model()
    assert path.read_bytes() == b"networks"
    served.unlink()
    assert face_model.find_face_model() == path


def test_a_kept_file_that_is_damaged_is_fetched_again(served):
    path = face_model.find_face_model()
    path.write_bytes(b"netw")
    assert face_model.find_face_model().read_bytes() == b"networks"
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_another_file_at_the_address_is_not_kept(served, tmp_path):
    served.write_bytes(b"something else")
    with pytest.raises(InputError, match="nothing is kept"):
        face_model.find_face_model()
    assert not list((tmp_path / "cache").rglob("*.task"))


def test_without_a_network_the_message_says_what_to_do(served):
    served.unlink()
    with pytest.raises(InputError, match=r"cannot be fetched from .*--face-model FILE, or MSA_JAX_FACE_MODEL=FILE"):
        face_model.find_face_model()


def test_a_file_that_is_given_goes_before_the_environment(served, tmp_path, monkeypatch):
    monkeypatch.setenv(face_model.VARIABLE, str(served))
    assert face_model.find_face_model() == served
    (tmp_path / "other.task").write_bytes(b"other")
    with pytest.raises(InputError, match=r"other.task: not the face model"):
        face_model.find_face_model(tmp_path / "other.task")
    with pytest.raises(InputError, match="cannot be read"):
        face_model.find_face_model(tmp_path / "none.task")
