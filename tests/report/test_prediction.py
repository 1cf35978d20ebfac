"""`msa-jax predict`: scores of one split or of texts, to a file or standard output, never over an experiment's files."""

import csv
import io
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from msa_jax.cli import main
from msa_jax.csv_text import csv_of, predictions_csv, shortest
from msa_jax.data import write_native
from msa_jax.testing import tiny_dataset
from msa_jax.train.predictor import Predictor
from tests.tiny import toy, train_quick, train_toy  # noqa: F401 - a fixture

DATASET = tiny_dataset(modalities=("text",))
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """text_only with two seeds, by the programs that other tests compile."""
    out = tmp_path_factory.mktemp("predict") / "run"
    return train_quick("text_only", DATASET, out, seeds=(1, 2), options={"runs_per_program": 1}).path


@pytest.fixture
def command(capsys) -> Command:
    """command("predict", folder, ...) -> exit status, standard output, standard error"""

    def call(*words: Any) -> tuple[int, str, str]:
        capsys.readouterr()
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            status = main([str(word) for word in words])
        return status, *capsys.readouterr()

    return call


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_texts_on_the_line_give_a_table_on_standard_output(run, command):
    status, out, err = command("predict", run, "--text", "good film", "--text", "bad, dull")
    assert (status, err) == (0, "")
    rows = table(out)
    assert list(rows[0]) == ["id", "text", "1/prediction", "2/prediction"]
    assert [row["text"] for row in rows] == ["good film", "bad, dull"]
    want = Predictor.load(run).predict_texts(["good film", "bad, dull"])
    got = [(float(row["1/prediction"]) + float(row["2/prediction"])) / 2 for row in rows]
    np.testing.assert_allclose(got, want, atol=1e-6)


def test_texts_come_from_a_file_or_from_standard_input(run, command, tmp_path, monkeypatch):
    (tmp_path / "new.txt").write_bytes("good film\nschön\n".encode())
    of_file = command("predict", run, "--texts", tmp_path / "new.txt")
    assert of_file[0] == 0
    assert [(row["id"], row["text"]) for row in table(of_file[1])] == [("1", "good film"), ("2", "schön")]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("good film\nschön\n".encode())))
    assert command("predict", run, "--texts", "-") == of_file


def test_json_without_a_file_holds_the_scores(run, command):
    status, out, _ = command("predict", run, "--text", "good film", "--json")
    assert status == 0
    content = json.loads(out)
    assert (content["rows"], content["runs"]) == (1, ["1", "2"])
    assert content["predictions"][0].keys() == {"id", "text", "1/prediction", "2/prediction"}


def test_a_file_with_one_split_and_nothing_but_text_is_enough(run, command, tmp_path):
    np.savez(tmp_path / "new.npz", raw_text=DATASET.test.raw_text)
    status, out, _ = command("predict", run, "--data", tmp_path / "new.npz")
    assert status == 0
    rows = table(out)
    assert list(rows[0]) == ["id", "1/prediction", "2/prediction"]
    with open(run / "predictions" / "test.csv", newline="") as file:
        trained = list(csv.DictReader(file))
    for column in ("1/prediction", "2/prediction"):
        got, want = ([float(row[column]) for row in each] for each in (rows, trained))
        np.testing.assert_allclose(got, want, atol=1e-6)


def test_the_text_is_written_beside_the_scores_if_asked_for(run, command, tmp_path):
    write_native(DATASET, tmp_path / "data")
    status, _, _ = command("predict", run, "--data", tmp_path / "data", "--with-text", "--out", tmp_path / "s.csv")
    assert status == 0
    rows = table((tmp_path / "s.csv").read_text())
    assert list(rows[0]) == ["id", "label", "text", "1/prediction", "2/prediction"]
    assert [row["text"] for row in rows] == DATASET.test.raw_text.tolist()


def test_a_missing_modality_needs_to_be_said(toy, command, tmp_path):  # noqa: F811
    dataset = tiny_dataset(modalities=("text", "audio"))
    path = train_toy(tmp_path / "run", dataset, options={"max_epochs": 1}).path
    np.savez(tmp_path / "new.npz", raw_text=DATASET.test.raw_text)
    status, _, err = command("predict", path, "--data", tmp_path / "new.npz")
    assert status == 2
    assert "audio is missing" in err
    assert "--missing audio" in err
    status, out, err = command("predict", path, "--data", tmp_path / "new.npz", "--missing", "audio")
    assert status == 0
    assert "warning: audio is missing: each sample has no frame as audio" in err
    assert len(table(out)) == 8


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "one of --data, --texts, --text and --clip; found none"),
        (["--text", "a", "--data", "synthetic"], "found --data and --text"),
        (["--text", "a", "--split", "test"], "--split chooses a part of --data"),
        (["--text", "a", "--openface", "x"], "--openface says how a --clip is read; --text has none"),
        (["--data", "synthetic", "--face-model", "x"], "--face-model says how a --clip is read; --data has none"),
        (["--texts", "x", "--asr", "x", "--opensmile", "x"], "--opensmile says how a --clip is read; --texts has none"),
        (["--texts", "nothing.txt"], "nothing.txt: cannot be read"),
        (["--text", "a", "--missing", "smell"], "missing names 'smell'"),
        (["--text", "a", "--out", "x.xlsx"], "x.xlsx: scores are written as CSV"),
        (["--texts", "x.csv"], "x.csv: a table, which --data reads"),
        (["--data", "x.npz", "--out", "x.npz"], "x.npz: is also read or written"),
        (["--text", "a", "--out", "x", "--arrays", "./x"], "x: is also read or written"),
    ],
)
def test_a_wrong_line_is_one_line(run, command, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    status, out, err = command("predict", run, *words)
    assert (status, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("option", ["--out", "--arrays"])
@pytest.mark.parametrize(
    "name", ["result.json", "config.json", "predictions/test.csv", "checkpoints/1/new.csv", ".lock"]
)
def test_the_files_of_an_experiment_are_never_overwritten(run, command, tmp_path, option, name):
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    (tmp_path / "link").symlink_to(run)
    for folder in (run, tmp_path / "link"):
        status, _, err = command("predict", run, "--text", "good", option, folder / name)
        assert status == 2
        assert "writes this itself; choose another file" in err
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_another_name_beside_them_and_such_names_elsewhere_are_free(run, command, tmp_path):
    (tmp_path / "config.json").write_text('{"hidden_size": 3}')  # of other software
    for path in (run / "mine.csv", tmp_path / "result.json", tmp_path / "labels" / "new.csv"):
        assert command("predict", run, "--text", "good", "--out", path)[0] == 0
        assert path.is_file()
    (run / "mine.csv").unlink()


# -- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [1.2, -0.1, 3.0, 1e-7, 123456.78, 0.30000001, 1e30, 2.0**-126])
def test_numbers_are_the_shortest_that_are_the_same_float32(value):
    text = shortest(np.float32(value))
    assert np.float32(text) == np.float32(value)
    assert len(text) <= len(repr(value))


def test_what_training_writes_has_such_numbers():
    label = np.array([1.2, np.nan, -3], np.float32)
    text = predictions_csv(np.array(["a", "b", "c"]), label, {"7": {"prediction": np.float32([0.1, 2.7, 1e-9])}})
    assert text == "id,label,7/prediction\na,1.2,0.1\nb,,2.7\nc,-3.0,1e-09\n"


def test_a_text_of_several_lines_is_one_cell():
    texts = ["a\rb", "c\nd", "e\r\nf", 'g, "h"', "", "=1"]
    text = csv_of({"id": list("uvwxyz"), "text": texts})
    assert text == 'id,text\nu,"a\rb"\nv,"c\nd"\nw,"e\r\nf"\nx,"g, ""h"""\ny,\nz,=1\n'
    assert [row[1] for row in csv.reader(io.StringIO(text, newline=""))] == ["text", *texts]
