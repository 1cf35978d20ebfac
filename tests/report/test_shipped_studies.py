"""The studies that come with msa_jax: their files, their numbers, and which variants a dataset allows."""

import json
import re

import pytest

from msa_jax import cli, config, methods
from msa_jax.report import studies
from msa_jax.report.studies import list_studies, load_study, reproduce
from msa_jax.report.study import PAPER_KEYS
from msa_jax.report.study_plan import plan_variant
from tests.paths import REPOSITORY
from tests.report.studies_kit import pretend_to_train
from tests.tiny import tiny_dataset

SHIPPED = [study.name for study in list_studies()]
PAPER = REPOSITORY.parent / "shared" / "papers" / "self_mm.txt"


@pytest.fixture
def pretend(monkeypatch):
    monkeypatch.setattr(studies, "train", pretend_to_train())


def test_the_studies_of_self_mm_are_listed():
    assert {f"self_mm.{item}" for item in ("table1", "table3", "table4", "figure4", "figure5")} <= set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_study_is_complete(name):
    study = load_study(name)
    assert study.kind in studies.KINDS
    assert f"msa-jax reproduce {name} --data" in study.description
    for variant in study.variants:
        defaults = methods.get(variant.method).options()
        changed = config.flatten(config.override(defaults, variant.options))
        for option, value in variant.options.items():
            assert changed[option] == value
    assert all(dataset.rows and dataset.text_encoder for dataset in study.datasets.values())


@pytest.mark.parametrize("protocol", ["paper", "reference"])
@pytest.mark.parametrize("name", SHIPPED)
def test_no_two_variants_are_the_same_experiment(name, protocol, tmp_path):
    study, dataset = load_study(name), tiny_dataset()
    planned = [plan_variant(variant, dataset, tmp_path, None, protocol, {}) for variant in study.variants]
    different = {(outcome.settings.method.name, repr(outcome.settings.options)) for outcome in planned}
    assert len(different) == len(planned)


def test_every_kind_of_study_has_a_renderer():
    assert set(studies.KINDS) == set(PAPER_KEYS)


def test_studies_are_found_by_name_in_the_command(capsys):
    assert cli.main(["reproduce", "--list", "--json"]) == 0
    assert [study["name"] for study in json.loads(capsys.readouterr().out)] == SHIPPED
    assert cli.main(["reproduce", "self_mm.table4", "--data", "synthetic", "--tasks", "m"]) == 2
    assert "option tasks is what study self_mm.table4 varies" in capsys.readouterr().err


@pytest.mark.usefixtures("pretend")
def test_table_4_without_vision_leaves_out_the_variants_that_would_equal_others(tmp_path):
    dataset = tiny_dataset(modalities=("text", "audio"))
    found = reproduce("self_mm.table4", dataset, seeds=(1,), out=tmp_path / "out", log=None)
    possible = [row["variant"] for row in found.content["rows"] if row["runs"]]
    assert possible == ["M", "M, A", "M, T", "M, T, A"]
    reasons = {e["variant"]: e["not_possible_because"] for e in found.content["experiments"]}
    assert reasons["M, T, A, V"] == "the dataset has no vision"


@pytest.mark.usefixtures("pretend")
@pytest.mark.parametrize("human", [True, False])
def test_table_3_needs_human_unimodal_labels_for_human_mm_alone(tmp_path, human):
    dataset = tiny_dataset(human_labels=human, metrics="sims", label_range=(-1.0, 1.0), name="sims")
    found = reproduce("self_mm.table3", dataset, seeds=(1,), out=tmp_path / "out", log=None)
    reason = found.content["experiments"][0]["not_possible_because"]
    assert (reason is None) == human
    if not human:
        assert "the dataset has no label_t, label_a, label_v" in reason
    assert found.content["experiments"][1]["not_possible_because"] is None
    assert found.tables[0].columns[3:] == ("MAE", "Corr", "Acc-2", "F1")


@pytest.mark.usefixtures("pretend")
def test_table_1_shows_the_papers_rows_for_the_dataset_at_hand(tmp_path):
    dataset = tiny_dataset(metrics="mosei", name="mosei")
    found = reproduce("self_mm.table1", dataset, seeds=(1,), out=tmp_path / "out", log=None)
    rows = {row[0]: row for row in found.tables[0].rows if row[1].startswith("paper, mosei")}
    assert rows["Self-MM"][3:] == ("0.530", "0.765", "82.81", "85.17", "82.53", "85.30")
    assert rows["MFN, aligned"][3:] == ("-", "-", "76.0", "-", "76.0", "-")
    assert not any(row[1] == "paper, mosi" for row in found.tables[0].rows)


# -- the papers' numbers -------------------------------------------------------------------------------------------------


def printed(numbers):
    keys = ("MAE", "Corr", "Has0_acc_2", "Non0_acc_2", "Has0_F1_score", "Non0_F1_score", "Mult_acc_2", "F1_score")
    return [numbers[key] if key in ("MAE", "Corr") else round(100 * numbers[key], 6) for key in keys if key in numbers]


def table_of_the_text(heading):
    """{name: numbers} of a table of the paper's text; reruns by its authors carry a star."""
    lines = PAPER.read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(heading))
    rows = [re.sub(r"</?b>|<sup>.*?</sup>", "", line).split("\t") for line in lines[start + 1 : lines.index("", start)]]
    table = {name.strip(): [float(n) for cell in rest for n in re.findall(r"\d+\.\d+", cell)] for name, *rest in rows}
    return {name: numbers for name, numbers in table.items() if numbers}  # without a second line of headings


@pytest.mark.skipif(not PAPER.is_file(), reason="the paper's text is not here")
@pytest.mark.parametrize(
    ("study", "heading"),
    [("self_mm.table1", "Model\tMOSI\t"), ("self_mm.table3", "Model\tMAE\t"), ("self_mm.table4", "Tasks\tMSE\t")],
)
def test_every_number_of_a_table_is_in_the_papers_text(study, heading):
    text, found = table_of_the_text(heading), load_study(study)
    names = {}
    if study == "self_mm.table1":  # the text misreads two names
        names = {"Self-MM": "Self-MM (B)*", "MulT (B)": "MuT (B)", "MFM (B)": "MFN (B)"}
    rows = [row for row in (*found.variants, *found.context) if row.paper]
    for row in rows:
        name = re.sub(r", (un)?aligned", "", row.name).replace(", rerun", "*")
        numbers = [number for dataset in ("mosi", "mosei", "sims") for number in printed(row.paper.get(dataset, {}))]
        assert numbers == text[names.get(name, name)]
    assert len(rows) == len(text)


@pytest.mark.skipif(not PAPER.is_file(), reason="the paper's text is not here")
def test_the_papers_cases_are_in_its_text():
    text = " ".join(PAPER.read_text(encoding="utf-8").split())
    for case in load_study("self_mm.figure5").context:
        numbers = case.paper["mosi"]
        after = text[text.index(case.name) + len(case.name) :]
        found = [float(number) for number in re.findall(r"-?\d\.\d+", after)[:4]]
        assert found == [numbers[key] for key in ("label", "label_v", "label_t", "label_a")]
