"""The page and the curves of an experiment: what is on them is what is in the folder, and nothing from data is markup."""

import html
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from msa_jax import metrics
from msa_jax.cli import main
from msa_jax.data import write_native
from msa_jax.errors import InputError
from msa_jax.report import run_figures
from msa_jax.report.experiment import read_predictions
from msa_jax.report.run_curves import plot, read_curves
from msa_jax.report.run_page import Predictions, _worst, page, report
from msa_jax.testing import tiny_dataset
from tests.tiny import contrary, toy, train_quick, train_toy  # noqa: F401 - a fixture
from tests.train.kit import AUDIO, Interrupting, lines_of, toy_experiment

LINE = {"run": 0, "seed": 1, "epoch": 1, "train": {"loss": 1.0}, "valid": {"MAE": 1.0}, "seconds": 1}
EVIL = '<script>alert("1")</script> & <img src=x onerror=alert(2)>'


class Parsed(HTMLParser):
    """What is in a page: tags, their attributes, and the text of table rows. Every tag must be closed."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.rows, self._open = [], [], [], []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in ("meta", "!doctype"):
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def place(toy, tmp_path_factory):  # noqa: F811
    """`run`, of the toy method and two seeds, and `data`, what it was trained on, with texts that are markup."""
    place = tmp_path_factory.mktemp("page")
    dataset = tiny_dataset(modalities=("audio",))
    dataset = replace(dataset, card=replace(dataset.card, name="<b>tiny</b>"))
    train_toy(place / "run", dataset, seeds=(1, 2), options={"runs_per_program": 1})
    with_texts = {
        name: replace(split, raw_text=np.array([f"{EVIL} {row}" for row in range(len(split))]))
        for name, split in dataset.splits().items()
    }
    write_native(replace(dataset, **with_texts), place / "data")
    return place


def result_of(place):
    return json.loads((place / "run" / "result.json").read_text())


@pytest.fixture(scope="module")
def shown(place):
    return page(place / "run", data=place / "data")


def test_every_number_of_the_tables_is_in_the_folder(place, shown):
    parsed = Parsed(shown)
    result = result_of(place)
    rows = {row[0]: row[1:] for row in parsed.rows if row}
    found = [row for row in parsed.rows if row[0] == "MAE"]
    want = [[f"{run[split]['MAE']:.3f}" for run in result["runs"]] for split in ("test", "valid")]
    assert [row[1:3] for row in found] == want
    assert found[0][3] == f"{result['mean']['MAE']:.3f} ± {result['std']['MAE']:.3f}"
    assert rows["batch_size"] == ["7", "Number of samples in a mini-batch."]
    assert rows["versions jax"] == [json.loads((place / "run" / "environment.json").read_text())["versions"]["jax"]]


def test_the_worst_samples_come_first_with_their_text(place, shown):
    ids, label, heads = read_predictions(place / "run", "test")
    score = (heads["1/prediction"].astype(float) + heads["2/prediction"]) / 2
    order = np.argsort(-np.abs(score - label), kind="stable")
    rows = [row for row in Parsed(shown).rows if row[0] in ids]
    assert [row[0] for row in rows] == ids[order].tolist()
    assert [row[1] for row in rows] == [f"{EVIL} {row}" for row in order]
    assert [float(row[4]) for row in rows] == pytest.approx(score[order] - label[order], abs=0.006)


@pytest.mark.parametrize(("kind", "first", "error"), [("sims", "b", "-0.30"), ("mosi", "a", "+0.40")])
def test_the_error_of_a_worst_sample_is_the_one_that_its_metrics_count(kind, first, error):
    predictions = Predictions(ids=np.array(["a", "b"]), label=np.array([1.0, 0.5]), runs={"1": np.array([1.4, 0.2])})
    row = Parsed(_worst(predictions, None, kind)).rows[1]
    assert (row[0], row[3]) == (first, error)


def test_nothing_from_the_data_is_markup_and_nothing_is_fetched(shown):
    parsed = Parsed(shown)
    assert "script" not in parsed.tags
    assert "b" not in parsed.tags
    assert html.escape("<b>tiny</b>") in shown
    assert not [name for name, _ in parsed.attributes if name.startswith("on")]
    links = [value for name, value in parsed.attributes if name in ("src", "href", "xlink:href")]
    assert all(value.startswith(("#", "data:")) for value in links)
    assert not re.search(r"url\((?!#)|@import", shown)
    assert "default-src 'none'" in shown


def test_it_is_readable_in_light_and_dark_and_on_paper(shown):
    assert "prefers-color-scheme: dark" in shown
    assert "@media print" in shown
    assert shown.count("<svg") == 4  # curves, scatter, confusion, frames of audio
    assert "#222222" not in shown.split("</style>")[1]  # ink follows the page


@pytest.mark.slow
def test_without_its_data_the_page_says_what_it_lacks(place, tmp_path):
    config = json.loads((place / "run" / "config.json").read_text())
    config_path = place / "run" / "config.json"
    kept = config_path.read_text()
    try:
        config_path.write_text(json.dumps({**config, "data": str(tmp_path / "gone")}))
        path = report(place / "run", out=tmp_path / "page.html")
    finally:
        config_path.write_text(kept)
    text = path.read_text(encoding="utf-8")
    assert text.count("The data of training are not there") == 2
    assert "text" not in [cell for row in Parsed(text).rows for cell in row]


OTHER_IDS = replace(AUDIO, valid=replace(AUDIO.valid, id=np.array([f"x{row}" for row in range(len(AUDIO.valid))])))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (OTHER_IDS, "no sample 'valid0' in split valid; expected the data that the experiment was scored on"),
        (contrary(AUDIO), "other labels in split valid; expected the data that the experiment was scored on"),
        ("nowhere", "nowhere: no such file or folder"),
    ],
)
def test_data_that_are_named_must_be_those(place, data, message, tmp_path):
    with pytest.raises(InputError, match=message):
        report(place / "run", out=tmp_path / "page.html", data=data, split="valid")
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("result.json", "{}", "result.json has no 'method'"),
        ("result.json", None, "not finished: resume it"),
        ("config.json", "[]", "config.json: not a JSON object"),
        ("config.json", "{}", "config.json: not the configuration of an experiment"),
        ("metrics.jsonl", '{"seed": 1}\n', "metrics.jsonl: not the lines of an experiment"),
        ("metrics.jsonl", "", "no epoch has been trained yet"),
        ("metrics.jsonl", 2 * (json.dumps(LINE) + "\n"), r"not the lines of an experiment \(.*do not ascend"),
        (
            "config.json",
            '{"metrics": "x", "inputs": {"label_range": [0, 1]}}',
            "metrics 'x', labels from 0 to 1; expected",
        ),
        ("predictions/test.csv", "id,label\na,1\n", "test.csv: no column SEED/prediction"),
    ],
)
def test_a_damaged_folder_is_one_sentence(place, tmp_path, name, content, message):
    shutil.copytree(place / "run", tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints"))
    path = tmp_path / "run" / name
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=message):
        report(tmp_path / "run")
    assert not (tmp_path / "run" / "report.html").exists()


@pytest.mark.slow
def test_the_commands_write_into_the_folder_or_elsewhere(place, tmp_path, capsys):
    assert main(["report", str(place / "run"), "--data", str(place / "data")]) == 0
    assert (place / "run" / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert main(["plot", str(place / "run"), "--json"]) == 0
    assert (place / "run" / "curves.png").read_bytes().startswith(b"\x89PNG")
    for name, begins in (("c.svg", b"<?xml"), ("c.pdf", b"%PDF")):
        assert main(["plot", str(place / "run"), "--out", str(tmp_path / name)]) == 0
        assert (tmp_path / name).read_bytes().startswith(begins)
    capsys.readouterr()
    assert main(["plot", str(place / "run"), "--out", str(tmp_path / "c.gif")]) == 2
    assert "expected a file name that ends with .png, .svg, .pdf" in capsys.readouterr().err
    assert main(["plot", str(place / "run"), "--out", str(place / "run" / "result.json")]) == 2
    assert main(["plot", str(tmp_path)]) == 2
    assert "not an experiment" in capsys.readouterr().err.splitlines()[-1]


def test_curves_are_those_of_the_lines(place):
    (first, second) = read_curves(place / "run")
    lines = [line for line in lines_of(place / "run") if line["seed"] == 2]
    assert second.step.tolist() == [1, 2, 3, 4]
    assert second.values["MAE, valid"].tolist() == [line["valid"]["MAE"] for line in lines]
    assert second.values["Acc-7 [%], valid"].tolist() == [100 * line["valid"]["Mult_acc_7"] for line in lines]
    assert second.values["weight of inertia"].tolist() == [line["weights"]["inertia"] for line in lines]
    assert next(iter(first.values)) == "loss, train"
    assert (first.best, second.best) == tuple(run["best_epoch"] for run in result_of(place)["runs"])


@pytest.mark.slow
def test_an_unfinished_experiment_has_curves(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        toy_experiment(tmp_path / "half")(Interrupting(3))
    assert read_curves(tmp_path / "half")[0].best is None
    assert plot(tmp_path / "half").is_file()


@pytest.mark.slow
def test_generated_labels_are_drawn(tmp_path):
    train_quick("self_mm", tiny_dataset(), tmp_path / "run")
    text = page(tmp_path / "run", data=tiny_dataset())
    assert "After the last epoch, seed 1." in text
    assert "This method generates none." not in text


@pytest.mark.parametrize(
    ("kind", "key"), [("mosi", "Mult_acc_7"), ("sims", "Mult_acc_5"), ("regression", "Mult_acc_7")]
)
def test_classes_of_the_confusion_are_those_of_the_accuracy(kind, key):
    rng = np.random.default_rng(0)
    ends = {"mosi": (-3.0, 3.0), "sims": (-1.0, 1.0), "regression": (1.0, 5.0)}[kind]
    label, score = (rng.uniform(*ends, 500).astype(np.float32) for _ in range(2))
    (mine, names), (true, _) = (run_figures.binned(values, kind=kind, label_range=ends) for values in (score, label))
    assert np.mean(mine == true) == metrics.evaluate(score, label, kind, label_range=ends)[key]
    assert {*mine, *true} == set(range(len(names)))


def test_a_figure_of_many_equal_lengths_has_one_group():
    drawn = run_figures.errors_by_length(np.ones(50), np.array([3] * 49 + [9]), unit="words")
    assert [text.get_text() for text in drawn.axes[0].get_xticklabels()] == ["3 to 9\nn=50"]
