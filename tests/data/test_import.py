"""`data import`: what the command says a dataset is, and that nothing but a word makes it one that papers have numbers for."""

import json
import shlex
import warnings

import numpy as np
import pytest

from msa_jax.cli import main
from msa_jax.data import load_dataset, make_synthetic, read_native, write_native
from msa_jax.data.describe import card_text, describe
from msa_jax.train.settings import resolve
from tests.mmsa_writer import write_mmsa
from tests.tiny import tiny_dataset, toy, train_quick  # noqa: F401 - a fixture

SAYING = "--name mine --language de --label-range -4 4 --metrics regression"


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """run("data import ...") -> (status, standard output, standard error), in an empty folder"""
    monkeypatch.chdir(tmp_path)

    def command(line):
        capsys.readouterr()
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            status = main(shlex.split(line))
        return (status, *capsys.readouterr())

    return command


def card_of(folder):
    entries = json.loads((folder / "card.json").read_text())
    return entries["name"], entries["language"], entries["label_range"], entries["metrics"]


@pytest.mark.parametrize("source", ["features.pkl", "FEATURES.PKL", "native", "synthetic", "texts.csv"])
def test_what_is_said_is_on_the_card_whatever_the_source(source, run, tmp_path):
    write_mmsa(tmp_path / "features.pkl", kind="mosi", sizes=(4, 4, 4), minus_inf=False)
    write_mmsa(tmp_path / "FEATURES.PKL", kind="mosi", sizes=(4, 4, 4), minus_inf=False)
    write_native(make_synthetic(train=4, valid=2, test=2), tmp_path / "native")
    (tmp_path / "texts.csv").write_text("text,label,split\na,1,train\nb,-3.5,valid\nc,0,test\n")
    if source == "synthetic":  # its 896 rows take a while to write
        assert load_dataset(source, name="mine").card.name == "mine"
        return
    status, _, errors = run(f"data import {source} --out out {SAYING}")
    assert (status, errors) == (0, "")
    assert card_of(tmp_path / "out") == ("mine", "de", [-4, 4], "regression")


def test_a_file_like_mosi_is_a_guess_on_one_line_and_has_no_preset(run, tmp_path):
    write_mmsa(tmp_path / "MOSI" / "mosi.pkl", kind="mosi", sizes=(4, 4, 4), minus_inf=False)
    status, _, errors = run("data import MOSI/mosi.pkl --out out")
    assert status == 0
    assert errors.count("\n") == 1
    assert errors.startswith("msa-jax: warning: MOSI/mosi.pkl: guessed from its feature sizes, those of mosi: ")
    name, *_, metrics = card_of(tmp_path / "out")
    assert (name, metrics) == ("own_mosi", "mosi")
    assert resolve("self_mm", dataset=name).preset is None
    assert run("data import MOSI/mosi.pkl --out explicit --name mosi")[2] == ""
    name, *_ = card_of(tmp_path / "explicit")
    assert resolve("self_mm", dataset=name).preset == "self_mm_mosi"


def test_splits_of_a_table_follow_the_seed_of_the_line(run, tmp_path):
    (tmp_path / "texts.tsv").write_text("text\tlabel\n" + "".join(f"text {row}\t{row % 5}\n" for row in range(40)))
    for folder, seed in (("a", 3), ("b", 3), ("c", 4)):
        status, _, errors = run(f"data import texts.tsv --out {folder} --split-seed {seed} --language en")
        assert status == 0
        assert f"samples shuffled with seed {seed}, 70 % train, 10 % valid, 20 % test" in errors
    a, b, c = (read_native(tmp_path / folder).test.id.tolist() for folder in "abc")
    assert a == b != c


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--label-range 1", "argument --label-range: expected 2 arguments"),
        ("--label-range 3 -3", "two numbers, low < high"),
        ("--label-range -1 1", "line 2, column label: 2; expected a number in label_range [-1, 1]"),
        ("--metrics accuracy", "argument --metrics: invalid choice: 'accuracy'"),
        ("--split-seed -1", "split_seed is -1"),
        ("--split-seed 0", "split_seed is 0, and the table has a column split; leave one of them out"),
        ("--name ''", "name of the card is empty"),
    ],
)
def test_what_is_said_wrongly_is_one_line_and_status_2(line, message, run, tmp_path):
    (tmp_path / "texts.csv").write_text("text,label,split\na,2,train\nb,0,valid\nc,0,test\n")
    status, out, errors = run(f"data import texts.csv --out out {line}")
    assert (status, out) == (2, "")
    assert message in errors.splitlines()[-1]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("source", ["native", "synthetic"])
def test_a_seed_of_splits_is_refused_where_there_are_splits(source, run, tmp_path):
    write_native(make_synthetic(train=4, valid=2, test=2), tmp_path / "native")
    status, _, errors = run(f"data import {source} --out out --split-seed 3")
    assert status == 2
    assert f"{source}: split_seed is 3, which only a table without splits reads; leave it out" in errors


def test_a_second_import_is_told_what_it_can_do(run, tmp_path):
    write_native(make_synthetic(train=4, valid=2, test=2), tmp_path / "native")
    assert run("data import native --out out")[0] == 0
    status, _, errors = run("data import native --out out")
    assert status == 2
    assert errors == f"msa-jax: {tmp_path / 'out'}: a dataset is there already; choose another folder\n"


def test_frames_of_zeros_are_counted_in_the_description():
    dataset = make_synthetic(train=4, valid=2, test=2, audio_steps=6, vision_steps=6)
    before = describe(dataset)["splits"]["train"]["zero_frames"]["audio"]
    dataset.train.audio[2, 0] = 0.0  # pyright: ignore[reportOptionalSubscript]
    assert describe(dataset)["splits"]["train"]["zero_frames"]["audio"] == before + 1
    assert "audio zeros" in card_text(dataset)


@pytest.mark.usefixtures("toy")
def test_a_dataset_of_any_range_is_trained_scored_and_compared(run, tmp_path):
    dataset = tiny_dataset(modalities=("audio",), label_range=(1.0, 5.0), metrics="regression")
    write_native(dataset, tmp_path / "data")
    experiment = train_quick("toy", dataset, tmp_path / "run", options={"max_epochs": 2, "selection": "CCC"})
    test = experiment.runs[0].test
    assert tuple(test) == (
        "Mult_acc_2",
        "Mult_acc_3",
        "Mult_acc_5",
        "Mult_acc_7",
        "F1_score",
        "MAE",
        "Corr",
        "CCC",
        "R2",
    )
    label, scores = dataset.test.label, experiment.runs[0].scores["test"]["prediction"]
    assert test["Mult_acc_2"] == np.mean((scores >= 3) == (label >= 3))
    again = json.loads(run("evaluate run --data data --json")[1])
    assert again["mean"] == pytest.approx(experiment.mean, abs=1e-6)
    table = run("compare run")[1]
    assert all(name in table for name in ("CCC", "R2", "Acc-2", "Acc-7", "F1"))
