"""The studies of MMCL: their numbers, against the paper's text, and what they run."""

import itertools
import re
import shlex

import pytest

from msa_jax import arguments as command_line
from msa_jax import config, methods
from msa_jax.methods.protocol import Clock, Inputs, SequenceInput, TextInput
from msa_jax.report import studies
from msa_jax.report.retrieval import pairs
from msa_jax.report.studies import list_studies, load_study, reproduce
from tests.paths import REPOSITORY
from tests.report.studies_kit import pretend_to_train
from tests.tiny import tiny_dataset

PAPER = REPOSITORY.parent / "shared" / "papers" / "mmcl.txt"
KEYS = ("Mult_acc_7", "Has0_acc_2", "Non0_acc_2", "Has0_F1_score", "Non0_F1_score", "MAE", "Corr")  # the paper's order
TABLES = tuple(f"mmcl.table{number}" for number in range(1, 6))
STUDIES = (*TABLES, "mmcl.figure4", "mmcl.figure5", "mmcl.retrieval", "mmcl.hypotheses")
EVERY = ("uni", "cross", "alignment", "uniformity", "sentiment")


@pytest.fixture
def pretend(monkeypatch):
    monkeypatch.setattr(studies, "train", pretend_to_train())


def rows(study):
    """{name: {dataset: the paper's numbers in its order}}"""
    found = load_study(study)
    return {
        row.name: {
            dataset: [
                numbers[key] if key in ("MAE", "Corr") else round(100 * numbers[key], 6)
                for key in KEYS
                if key in numbers
            ]
            for dataset, numbers in row.paper.items()
        }
        for row in (*found.variants, *found.context)
        if row.paper
    }


def test_the_studies_of_mmcl_are_listed():
    assert set(STUDIES) <= {study.name for study in list_studies()}


# -- the paper's numbers -------------------------------------------------------------------------------------------------


def table_of_the_text(number):
    """{name: {dataset: numbers}} of a table of the paper's text; rows without all of their numbers hold what there is."""
    headings = {1: "Models\t", 2: "Description\t", 3: "SOTA Models\t", 4: "-\tModality\t", 5: "Value\t"}
    lines = PAPER.read_text(encoding="utf-8").splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith(headings[number]))
    datasets = ("mosi", "mosei") if number in (1, 3) else ("mosei",)
    table = {}
    for line in itertools.takewhile(bool, lines[start + 1 :]):
        name, *cells = [cell.strip() for cell in line.split("\t")[number == 4 :]]
        found = [float(value) for cell in cells for value in re.findall(r"\d+\.\d+", cell)]
        if found:
            parts = [found[place : place + 7] for place in range(0, len(found), 7)]
            assert name not in table
            table[name] = dict(zip(datasets, parts, strict=False))
    return table


def name_of_the_text(name, number):
    """A row of the text as the studies name it."""
    name = re.sub(r"\$?\\mathcal\{L\}_\{(\w+)\}\$?", r"L_\1", name)
    name = re.sub(r"^\(3\) |\s*\(ours\)$", "", name)
    if number == 5:
        greek, value = re.fullmatch(r"\$\\(\w+) = ([\d.]+)\$", name).groups()
        chosen = {"mu": "0.7", "eta": "1.0", "alpha": "1.0"}[greek] == value
        return "mu 0.7, eta 1.0, alpha 1.0" if chosen else f"{greek} {value}"
    return {"TFN*": "TFN, unaligned", "LMF^*": "LMF, unaligned"}.get(name, name)


@pytest.mark.skipif(not PAPER.is_file(), reason="the paper's text is not here")
@pytest.mark.parametrize(("number", "count"), [(1, 10), (2, 9), (3, 5), (4, 7), (5, 18)])
def test_every_number_of_a_table_is_in_the_papers_text(number, count):
    text = table_of_the_text(number)
    assert len(text) == count
    found = rows(f"mmcl.table{number}")
    printed: dict = {}
    for name, numbers in text.items():
        # Table 5 prints the chosen values three times; each time the same.
        assert printed.setdefault(name_of_the_text(name, number), numbers) == numbers
    assert found == printed


def test_what_cannot_be_read_is_left_out_and_said():
    study = load_study("mmcl.table3")
    assert rows("mmcl.table3")["MulT"] == {"mosi": [78.8, 80.2]}
    assert "Of MulT's row only Acc-2 on MOSI can be read" in study.description
    assert any("only Acc-2 on MOSI" in note for note in study.notes)


# -- what they run ----------------------------------------------------------------------------------------------------


def options(study, variant):
    (found,) = (one for one in load_study(study).variants if one.name == variant)
    return config.override(methods.get(found.method).options(), found.options)


def test_the_first_variant_is_mmcl_as_its_options_are():
    for study in STUDIES:
        first = load_study(study).variants[0]
        changed = {name: value for name, value in first.options.items() if name != "record_steps"}
        assert first.method == "mmcl"
        assert config.override(methods.get("mmcl").options(), changed) == methods.get("mmcl").options(), study


@pytest.mark.parametrize(
    ("variant", "left_out"),
    [
        ("MMCL", ()),
        ("rp Transformer", ()),
        ("w/o L_uni", ("uni",)),
        ("w/o ICL", ("cross", "alignment", "uniformity")),
        ("w/o L_cross", ("cross",)),
        ("w/o L_align", ("alignment",)),
        ("w/o L_uniform", ("uniformity",)),
        ("w/o SCL", ("sentiment",)),
        ("No Contrast", EVERY),
    ],
)
def test_an_ablation_leaves_out_its_losses_alone(variant, left_out):
    found = options("mmcl.table2", variant)
    assert set(found.contrast) == set(EVERY) - set(left_out)
    assert found.unimodal == ("linear" if variant == "rp Transformer" else "transformer")


def test_a_weight_varies_alone():
    terms = {"mu": "uni", "eta": "sentiment", "alpha": "cross"}
    for variant in load_study("mmcl.table5").variants[1:]:
        greek, value = variant.name.split()
        want = {"uni": 0.7, "sentiment": 1.0, "cross": 1.0, terms[greek]: float(value)}
        weights = options("mmcl.table5", variant.name).weights
        assert {term: getattr(weights, term) for term in want} == want
    assert len(load_study("mmcl.table5").variants) == 16


def test_a_hypothesis_changes_one_thing_alone():
    usual = config.flatten(methods.get("mmcl").options())
    changed = {}
    for variant in load_study("mmcl.hypotheses").variants[1:]:
        found = config.flatten(options("mmcl.hypotheses", variant.name))
        changed[variant.name] = {name for name in usual if found[name] != usual[name]}
    assert changed.pop("15 epochs") == {"max_epochs", "patience"}
    assert changed.pop("larger CNN kernels at the start") == {"predictor_init.cnn_gain", "predictor_init.zero_biases"}
    assert len(changed) == 8
    assert all(len(names) == 1 for names in changed.values())


def test_a_modality_that_is_absent_is_left_out_of_the_study():
    for variant in load_study("mmcl.table4").variants:
        letters = variant.name.lower().split(" + ")
        assert list(options("mmcl.table4", variant.name).modalities) == letters
        assert [need[0] for need in variant.needs] == letters


@pytest.mark.usefixtures("pretend")
def test_table_4_without_vision_has_the_variants_without_it(tmp_path):
    dataset = tiny_dataset(modalities=("text", "audio"))
    found = reproduce("mmcl.table4", dataset, seeds=(1,), out=tmp_path / "out", log=None)
    assert [row["variant"] for row in found.content["rows"] if row["runs"]] == ["T + A", "T", "A"]
    assert found.content["difference_from"] == "T + A"


@pytest.mark.usefixtures("pretend")
def test_table_1_shows_the_papers_rows_for_the_dataset_at_hand(tmp_path):
    dataset = tiny_dataset(metrics="mosei", name="mosei")
    found = reproduce("mmcl.table1", dataset, seeds=(1,), out=tmp_path / "out", log=None)
    assert found.tables[0].columns[3:] == (
        "Acc-7", "Acc-2 has0", "Acc-2 non0", "F1 has0", "F1 non0", "MAE", "Corr",
    )  # fmt: skip
    printed = {row[0]: row[3:] for row in found.tables[0].rows if row[1].startswith("paper, mosei")}
    assert printed["MMCL"] == ("53.6", "84.8", "85.9", "84.8", "85.7", "0.537", "0.765")
    assert "text only" not in printed
    assert len(printed) == 10


def all_inputs() -> Inputs:
    return Inputs(text=TextInput(width=8, steps=4), audio=SequenceInput(3, 2), vision=SequenceInput(3, 2))


def exports_of_mmcl() -> tuple[str, ...]:
    method = methods.get("mmcl")
    return method.export_names(method.options(), all_inputs())


def test_the_curves_are_terms_of_mmcl():
    from msa_jax.methods import mmcl

    study = load_study("mmcl.figure4")
    weighted = mmcl.weights(mmcl.MMCLOptions(), all_inputs(), {}, Clock(epoch=1, step=0))
    drawn = [term for curve in study.curves for term in curve.terms]
    minimised = {name for name, weight in weighted.items() if weight}
    assert set(drawn) == {*minimised, "multimodal", "loss"}
    assert [curve.name for curve in study.curves if curve.exponential] == ["exp(L_uniform)"]
    assert study.variants[0].options["record_steps"] == 5


@pytest.mark.parametrize("name", ["mmcl.figure4", "mmcl.figure5", "mmcl.retrieval"])
def test_mmcl_records_and_exports_what_is_drawn(name):
    study = load_study(name)
    studies.KINDS[study.kind].check(study)
    assert set(pairs(exports_of_mmcl())) == {"audio", "vision"}


@pytest.mark.parametrize("name", STUDIES)
def test_every_command_of_a_study_parses(name):
    lines = [line.strip() for line in load_study(name).description.splitlines() if line.strip().startswith("msa-jax ")]
    assert lines
    for line in lines:
        known, rest = command_line.parser().parse_known_args(shlex.split(line)[1:])
        assert known.study == name
        assert known.preset is None or known.preset in config.preset_names()
        assert set(command_line._options(rest)) <= set(config.flatten(methods.get("mmcl").options()))
