"""The studies of SUGRM: their numbers, against the paper's text, and what they run."""

import itertools
import re
import shlex

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax import arguments as command_line
from msa_jax import config, methods
from msa_jax.labels import sugrm
from msa_jax.report import studies
from msa_jax.report.studies import list_studies, load_study, reproduce
from msa_jax.train.experiment import resolve
from msa_jax.train.prepare import example_batch, prepare
from tests.paths import REPOSITORY
from tests.report.studies_kit import pretend_to_train
from tests.tiny import tiny_dataset

PAPER = REPOSITORY.parent / "shared" / "papers" / "sugrm.txt"
KEYS = ("Has0_F1_score", "Non0_F1_score", "Has0_acc_2", "Non0_acc_2", "MAE", "Corr")  # the paper's order
SAME_ON_BOTH = {"spt.width", "spt.iterations"}  # datasets; Table 7
STUDIES = tuple(f"sugrm.{item}" for item in ("table1", "table2", "table3", "table4", "table8"))


@pytest.fixture
def pretend(monkeypatch):
    monkeypatch.setattr(studies, "train", pretend_to_train())


def rows(study):
    """{name: {dataset: the paper's numbers in its order, None where it has none}}"""
    found = {}
    for row in (*load_study(study).variants, *load_study(study).context):
        found[row.name] = {
            dataset: [
                numbers.get(key) if key in ("MAE", "Corr") or key not in numbers else round(100 * numbers[key], 6)
                for key in KEYS
            ]
            for dataset, numbers in row.paper.items()
        }
    return found


# -- the paper's numbers -------------------------------------------------------------------------------------------------


def table_of_the_text(number):
    """[(name, {dataset: numbers}), ...] of a table of the paper's text, in its order; None for what is no number."""
    lines = PAPER.read_text(encoding="utf-8").splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith(f"Table {number}:")) + 2
    datasets = ("mosi",) if number == 8 else ("mosi", "mosei")
    table = []
    for line in itertools.takewhile(bool, lines[start:]):
        cells = [cell.strip() for cell in re.sub(r"</?u>", "", line).split("\t")]
        if "MOSI" in cells or "F1-Score" in cells:
            continue
        *name, cells = *cells[: -4 * len(datasets)], cells[-4 * len(datasets) :]
        numbers = [numbers_of_cells(cells[place : place + 4]) for place in range(0, len(cells), 4)]
        table.append((name[0], dict(zip(datasets, numbers, strict=True))))
    return table


def numbers_of_cells(cells):
    """F1 a/b, Acc a/b, MAE, Corr, with "-" for a number or a pair of them."""
    f1, accuracy, mae, corr = cells
    pairs = [part.strip() for pair in (f1, accuracy) for part in (pair.split("/") if "/" in pair else ("-", "-"))]
    return [float(value) if re.fullmatch(r"\d+\.\d+", value) else None for value in (*pairs, mae, corr)]


@pytest.mark.skipif(not PAPER.is_file(), reason="the paper's text is not here")
@pytest.mark.parametrize("study", STUDIES)
def test_every_number_of_a_table_is_in_the_papers_text(study):
    number, found = int(study[-1]), rows(study)
    text = table_of_the_text(number)
    assert len(text) == len(found)
    named = {"Ours": "SUGRM", "MuT": "MulT"}
    # Table 4 names its rows in two columns; the rows of its study are in its order.
    names = found if number == 4 else [named.get(name, name.replace(",", ", ")) for name, _ in text]
    for name, (_, numbers) in zip(names, text, strict=True):
        printed = {dataset: values for dataset, values in numbers.items() if any(values)}
        assert found[name] == printed, name


def test_the_cell_that_cannot_be_read_is_left_out_and_said():
    study = load_study("sugrm.table4")
    assert '"0.79.5"' in study.description
    missing = [
        (variant.name, dataset, key)
        for variant in study.variants
        for dataset, numbers in variant.paper.items()
        for key in KEYS
        if key not in numbers
    ]
    assert missing == [("SUGRM, ULGM of Self-MM", "mosei", "Has0_F1_score")]


@pytest.mark.skipif(not PAPER.is_file(), reason="the paper's text is not here")
def test_the_papers_cases_are_in_its_text():
    lines = PAPER.read_text(encoding="utf-8").replace("“", '"').splitlines()
    cases = load_study("sugrm.table5").context
    assert len(cases) == 4
    for case in cases:
        (line,) = [line for line in lines if line.startswith(f'"{case.name}"')]
        annotation = line.split("\t")[-1]
        letters = re.findall(r"([MTAV])(?: _G )?: (-?\d\.\d)", annotation)
        names = {"M": "label", "T": "label_t", "A": "label_a", "V": "label_v"}
        assert {names[letter]: float(value) for letter, value in letters} == case.paper["mosi"]


# -- what they run ----------------------------------------------------------------------------------------------------


def test_they_are_listed():
    expected = {*STUDIES, "sugrm.table5", "sugrm.figure4", "sugrm.labels"}
    assert expected <= {study.name for study in list_studies()}


@pytest.mark.parametrize("study", [study.name for study in list_studies() if study.name.startswith("sugrm.")])
def test_the_commands_they_name_are_known_to_the_command_line(study):
    found = load_study(study)
    known = {option for variant in found.variants for option in config.flatten(methods.get(variant.method).options())}
    commands = [line.strip() for line in found.description.splitlines() if line.strip().startswith("msa-jax ")]
    assert commands
    for command in commands:
        arguments, rest = command_line.parser().parse_known_args(shlex.split(command)[1:])
        assert arguments.study == study
        assert command_line._options(rest).keys() <= known


def test_the_options_that_table_4_names_for_mosei_are_those_of_the_preset():
    words = load_study("sugrm.table4").description.replace("\n", " ")
    given = command_line._options(shlex.split(" ".join(re.findall(r"--spt\.[\w-]+ [\d.]*\d", words))))
    preset = config.load_preset("sugrm_mosei").options
    assert {name: float(value) for name, value in given.items()} == {
        name: value for name, value in preset.items() if name.startswith("spt.") and name not in SAME_ON_BOTH
    }


@pytest.mark.parametrize("protocol", ["paper", "reference"])
def test_the_transformer_of_table_4_is_the_same_in_self_mm_and_in_sugrm(protocol):
    rows = {variant.name: variant for variant in load_study("sugrm.table4").variants}
    found = [
        resolve(rows[name].method, preset="none", protocol=protocol, **rows[name].options)
        for name in ("Self-MM, SPT for LSTM", "SUGRM, without MRM")
    ]
    one, other = (settings.options for settings in found)
    assert (one.spt, one.padding) == (other.spt, other.padding)
    assert one.padding == ("included" if protocol == "reference" else "masked")
    groups = [
        next(group for group in settings.method.groups(settings.options) if group.name == "encoder")
        for settings in found
    ]
    assert groups[0] == groups[1]


@pytest.mark.usefixtures("pretend")
def test_table_4_compares_each_half_with_its_own_method(tmp_path):
    found = reproduce("sugrm.table4", tiny_dataset(), seeds=(1, 2), out=tmp_path / "out", log=None)
    bases = {row["variant"]: row["difference_from"] for row in found.content["rows"]}
    assert {name: base for name, base in bases.items() if base != "Self-MM"} == {
        "Self-MM": None,
        **{f"SUGRM, {part}": "SUGRM" for part in ("without MRM", "TE for SPT", "LSTM for SPT", "ULGM of Self-MM")},
    }
    assert len({path.name for path in (tmp_path / "out").iterdir() if path.is_dir()}) == 9


PARTS = {  # of Table 4: what stands where, by the parameters of each network and the memory of its labels
    "Self-MM": (False, {"lstm"}, "self_mm"),
    "Self-MM, with MRM": (True, {"lstm"}, "self_mm"),
    "Self-MM, SPT for LSTM": (False, {"spt"}, "self_mm"),
    "Self-MM, ULGM of SUGRM": (False, {"lstm"}, "sugrm"),
    "SUGRM": (True, {"spt"}, "sugrm"),
    "SUGRM, without MRM": (False, {"spt"}, "sugrm"),
    "SUGRM, TE for SPT": (True, {"transformer"}, "sugrm"),
    "SUGRM, LSTM for SPT": (True, {"lstm"}, "sugrm"),
    "SUGRM, ULGM of Self-MM": (True, {"spt"}, "self_mm"),
}


@pytest.mark.slow
@pytest.mark.parametrize("variant", load_study("sugrm.table4").variants, ids=lambda variant: variant.slug)
def test_the_variants_of_table_4_are_made_of_the_parts_they_name(variant):
    small = {"scratch_layers": 1, "scratch_width": 32, "max_tokens": 12}
    settings = resolve(variant.method, preset="none", **small, **variant.options)
    method, options = settings.method, settings.options
    prepared = prepare(tiny_dataset(), method, options)
    network, batch = method.network(options, prepared.inputs, jnp.float32), example_batch(prepared.columns["train"], 2)
    params = jax.eval_shape(lambda key: network.init({"params": key}, batch, train=False)["params"], jax.random.key(0))
    memory = method.init_memory(options, prepared.inputs, {"label": prepared.columns["train"]["label"]})

    encoder = params.get("sequence_encoder", {})
    names = {"lstm"} if "audio_encoder" in params else {name.split("_")[-1] for name in encoder} - {"projection"}
    rule = "sugrm" if isinstance(memory, sugrm.LabelState) else "self_mm"
    assert ("recalibration" in params, names, rule) == PARTS[variant.name]


@pytest.mark.usefixtures("pretend")
@pytest.mark.parametrize("study", ["sugrm.table2", "sugrm.table4"])
@pytest.mark.parametrize("dataset", ["mosi", "mosei"])
def test_both_methods_have_the_presets_of_the_dataset(tmp_path, study, dataset):
    found = reproduce(study, tiny_dataset(name=dataset), seeds=(1,), out=tmp_path / "out", log=None)
    for one in found.content["experiments"]:
        assert one["preset"] == f"{one['method']}_{dataset}"
        assert one["not_possible_because"] is None


@pytest.mark.usefixtures("pretend")
def test_unaligned_data_are_not_those_of_table_1(tmp_path):
    dataset = tiny_dataset(name="mosi")
    one, two = (
        reproduce(f"sugrm.table{number}", dataset, seeds=(1,), out=tmp_path / f"{number}", log=None)
        for number in (1, 2)
    )
    reason = "audio and vision are unaligned instead of aligned with the tokens"
    assert reason in one.content["not_comparable_because"]
    assert reason not in two.content["not_comparable_because"]


def test_within_a_network_the_variants_of_the_label_study_differ_in_the_rule_alone():
    variants = load_study("sugrm.labels").variants
    for method in ("sugrm", "self_mm"):
        one, other = (variant.options for variant in variants if variant.method == method)
        assert {one.pop("label_generation"), other.pop("label_generation")} == {"self_mm", "sugrm"}
        assert one == other


@pytest.mark.parametrize("human", [pytest.param(True, marks=pytest.mark.slow), False])
def test_the_label_study_sets_all_four_beside_true_labels_where_there_are_any(tmp_path, monkeypatch, human):
    pytest.importorskip("matplotlib")
    moved = lambda data, seed, epoch: {"label_t": data.train.label * np.float32(1 - epoch / 10)}  # noqa: E731
    monkeypatch.setattr(studies, "train", pretend_to_train(moved))
    found = reproduce("sugrm.labels", tiny_dataset(human_labels=human), seeds=(1,), out=tmp_path / "out", log=None)
    joint = found.tables[0]
    assert [row[0] for row in joint.rows] == [variant.name for variant in load_study("sugrm.labels").variants]
    assert ("MAE of u-label" in joint.columns) == human
    assert found.content["paper_dataset"] is None
    assert "NOT comparable" not in found.text
