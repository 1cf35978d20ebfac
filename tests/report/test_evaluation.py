"""Scoring again says in what the data are not those of training, and records it."""

import json
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from msa_jax.cli import main
from msa_jax.data import write_native
from msa_jax.data.schema import Dataset
from msa_jax.errors import DataWarning, InputError
from msa_jax.report.evaluation import Evaluation, evaluate
from tests.tiny import tiny_dataset, toy, train_toy  # noqa: F401 - a fixture

pytestmark = pytest.mark.usefixtures("toy")
AUDIO = tiny_dataset(modalities=("audio",))


@pytest.fixture(scope="module")
def run(toy, tmp_path_factory) -> Path:  # noqa: F811
    return train_toy(tmp_path_factory.mktemp("evaluation") / "run", AUDIO, options={"max_epochs": 1}).path


def turned(dataset: Dataset) -> Dataset:
    return replace(dataset, test=replace(dataset.test, label=-dataset.test.label))


def test_the_data_of_training_differ_in_nothing(run):
    assert evaluate(run, data=AUDIO).differences == ()


def test_a_part_of_the_training_split_is_that_part_again(tmp_path):
    options = {"max_epochs": 1, "train_fraction": 0.5}
    path = train_toy(tmp_path / "run", AUDIO, options=options).path
    assert evaluate(path, data=AUDIO).differences == ()


def test_the_table_has_accuracies_in_percent_and_no_nan():
    found = Evaluation(
        folder=Path("run"),
        dataset="tiny",
        split="test",
        runs={1: {"MAE": 0.5, "Corr": float("nan"), "F1_score": 0.75}, 2: {"MAE": 0.7, "Corr": 0.5, "F1_score": 0.85}},
        mean={"MAE": 0.6, "Corr": None, "F1_score": 0.8},
        std={"MAE": 0.1, "Corr": None, "F1_score": 0.05},
    )
    rows = [line.split() for line in found.text().splitlines()[4:7]]
    assert rows == [
        ["MAE", "0.500", "0.700", "0.600", "±", "0.100"],
        ["Corr", "-", "0.500", "-"],
        ["F1_score", "75.00", "85.00", "80.00", "±", "5.00"],
    ]


def test_an_unknown_split_is_an_input_error(run):
    with pytest.raises(InputError, match="tiny: no split 'dev'; expected one of train, valid, test"):
        evaluate(run, data=AUDIO, split="dev")


@pytest.mark.parametrize(
    ("dataset", "differences"),
    [
        (turned(AUDIO), ("other contents of test/label",)),
        (
            replace(AUDIO, card=replace(AUDIO.card, metrics="regression", label_range=(-4.0, 4.0))),
            ("metrics regression instead of mosi", "label range [-4, 4] instead of [-3, 3]"),
        ),
        (
            tiny_dataset(modalities=("audio",), human_labels=True),
            ("new " + ", ".join(f"{split}/label_{of}" for split in ("train", "valid", "test") for of in "tav"),),
        ),
    ],
)
def test_other_data_are_said(run, dataset, differences):
    with pytest.warns(DataWarning, match="tiny: not the data that .* was trained on: "):
        assert evaluate(run, data=dataset).differences == differences


def test_columns_that_are_gone_are_said(tmp_path):
    path = train_toy(tmp_path / "run", tiny_dataset(modalities=("audio", "vision")), options={"max_epochs": 1}).path
    less = tiny_dataset(modalities=("audio", "vision"), human_labels=False)
    more = {name: replace(split, audio=split.audio) for name, split in less.splits().items()}
    (path / "environment.json").write_text(
        json.dumps({"dataset_sha256": {**less.fingerprint(), "test/label_t": "0"}}), encoding="utf-8"
    )
    with pytest.warns(DataWarning, match="no test/label_t"):
        assert evaluate(path, data=replace(less, **more)).differences == ("no test/label_t",)
    (path / "environment.json").unlink()
    with pytest.warns(DataWarning, match=r"environment\.json does not tell"):
        evaluate(path, data=less)


def test_a_dataset_that_was_replaced_where_it_lies_is_said_by_the_command(tmp_path, capsys):
    write_native(AUDIO, tmp_path / "data")
    line = f"train toy --data {tmp_path / 'data'} --seeds 1 --out {tmp_path / 'run'} --max-epochs 1 --quiet"
    assert main(line.split()) == 0
    write_native(turned(AUDIO), tmp_path / "data", overwrite=True)
    capsys.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main(["evaluate", str(tmp_path / "run"), "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["differs_from_training"] == ["other contents of test/label"]
    assert "warning: " in err
    assert "other contents of test/label" in err
