"""Errors can be looked at: every sample with text, label, scores and labels of single modalities, in the order asked for."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from msa_jax.cli import main
from msa_jax.data import write_native
from msa_jax.errors import DataWarning, InputError
from msa_jax.report.errors import errors
from msa_jax.testing import tiny_dataset
from msa_jax.train.predictor import Predictor
from tests.tiny import toy, train_quick, train_toy  # noqa: F401 - a fixture

DATASET = tiny_dataset(human_labels=True)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """The dataset in `data`, and self_mm with two seeds in `run`."""
    place = tmp_path_factory.mktemp("errors")
    write_native(DATASET, place / "data")
    train_quick("self_mm", DATASET, place / "run", seeds=(1, 2), options={"runs_per_program": 1})
    return place


def test_the_largest_error_comes_first(place):
    found = errors(place / "run", data=DATASET)
    test, columns = DATASET.test, found.columns
    names = [
        "id",
        "text",
        "label",
        "score",
        "error",
        "text_score",
        "audio_score",
        "vision_score",
        "label_t",
        "label_a",
        "label_v",
    ]
    assert list(columns) == names
    error = np.abs(columns["error"])
    assert (np.diff(error) <= 0).all()
    assert error[0] > error[-1]
    place_of = {name: row for row, name in enumerate(test.id.tolist())}
    rows = [place_of[name] for name in columns["id"].tolist()]
    assert sorted(rows) == list(range(8))
    runs = Predictor.load(place / "run").predict_runs(test)
    for column, head in (("score", "prediction"), ("text_score", "text"), ("audio_score", "audio")):
        want = (runs[1][head].astype(np.float64) + runs[2][head])[rows] / 2
        np.testing.assert_allclose(columns[column], want, atol=1e-6)
    np.testing.assert_array_equal(columns["text"], test.raw_text[rows])
    np.testing.assert_array_equal(columns["label_v"], test.label_v[rows])
    np.testing.assert_allclose(columns["error"], columns["score"] - test.label[rows], atol=1e-6)


def test_errors_of_sims_are_those_that_its_mae_counts(place, monkeypatch):
    predictor = replace(Predictor.load(place / "run"), metrics="sims")
    monkeypatch.setattr(Predictor, "load", lambda _: predictor)
    with pytest.warns(DataWarning, match="metrics mosi instead of sims"):
        columns = errors(place / "run", data=DATASET).columns
    assert np.abs(columns["label"]).max() > 1
    np.testing.assert_array_equal(columns["error"], np.clip(columns["score"], -1, 1) - np.clip(columns["label"], -1, 1))


@pytest.mark.parametrize("sort", ["label", "score"])
def test_other_orders_begin_with_the_lowest(place, sort):
    values = errors(place / "run", data=DATASET, sort=sort, top=5).columns[sort]
    assert len(values) == 5
    assert (np.diff(values) >= 0).all()


def test_the_training_split_has_generated_labels(place):
    found = errors(place / "run", data=DATASET, split="train").columns
    labels = []
    for seed in (1, 2):
        with np.load(place / "run" / "labels" / f"{seed}.npz") as file:
            labels.append(dict(zip(file["id"].tolist(), file["label_a"].tolist(), strict=True)))
    want = [(labels[0][name] + labels[1][name]) / 2 for name in found["id"].tolist()]
    np.testing.assert_allclose(found["generated_a"], want, atol=1e-6)
    assert not np.array_equal(found["generated_a"], found["label"])


def test_samples_without_generated_labels_have_none(place):
    train = DATASET.train
    id = train.id.astype("<U9")
    id[3] = "unknown"
    other = replace(DATASET, train=replace(train, id=id))
    with pytest.warns(DataWarning, match="other contents of train/id"):
        found = errors(place / "run", data=other, split="train")
    row = found.columns["id"].tolist().index("unknown")
    assert np.flatnonzero(np.isnan(found.columns["generated_t"])).tolist() == [row]
    assert found.json()["rows"][row]["generated_t"] is None
    assert list(csv.DictReader(io.StringIO(found.csv())))[row]["generated_t"] == ""
    assert found.json()["differs_from_training"] == list(found.differences) != []


def command(capsys, *words) -> str:
    capsys.readouterr()
    assert main([str(word) for word in words]) == 0
    return capsys.readouterr().out


def test_the_three_formats_say_the_same(place, capsys):
    line = ("errors", place / "run", "--data", place / "data")
    content = json.loads(command(capsys, *line, "--format", "json"))
    assert json.loads(command(capsys, *line, "--json")) == content
    rows = list(csv.DictReader(io.StringIO(command(capsys, *line, "--format", "csv"))))
    assert [list(row) for row in rows] == [list(row) for row in content["rows"]]
    for row, other in zip(rows, content["rows"], strict=True):
        assert {name: str(value) for name, value in other.items()} == row
    text = command(capsys, *line, "--top", "3").splitlines()
    assert "3 samples, largest error first" in text[0]
    assert content["rows"][0]["id"] in "\n".join(text)
    assert content["rows"][3]["id"] not in "\n".join(text)


def test_a_method_without_text_or_other_heads_has_fewer_columns(toy, tmp_path):  # noqa: F811
    audio = tiny_dataset(modalities=("audio",))
    path = train_toy(tmp_path / "run", audio, options={"max_epochs": 1}).path
    assert list(errors(path, data=audio).columns) == ["id", "label", "score", "error"]
    assert list(errors(path, data=audio, split="train").columns)[-1] == "generated_last"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sort": "id"}, "sort is 'id'"),
        ({"top": 0}, "top is 0; expected at least 1"),
        ({"split": "dev"}, "no split 'dev'; expected one of train, valid, test"),
    ],
)
def test_what_cannot_be_is_an_input_error(place, changes, message):
    with pytest.raises(InputError, match=message):
        errors(place / "run", data=DATASET, **changes)
