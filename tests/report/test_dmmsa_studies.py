"""The studies of DMMSA: their numbers, against the paper's text, and what they run."""

import re
import shlex

import pytest

from msa_jax import arguments as command_line
from msa_jax import config, methods
from msa_jax.report import studies
from msa_jax.report.studies import list_studies, load_study, reproduce
from tests.paths import REPOSITORY
from tests.report.studies_kit import pretend_to_train
from tests.tiny import tiny_dataset

PAPER = REPOSITORY.parent / "shared" / "papers" / "dmmsa.txt"
STUDIES = tuple(f"dmmsa.{item}" for item in ("table2", "table3", "table4", "table5", "figure4", "figure5", "figure6"))
KEYS = ("Has0_acc_2", "Non0_acc_2", "Has0_F1_score", "Non0_F1_score", "Mult_acc_7", "MAE", "Corr")  # of Tables 3 and 4
SIMS = ("Mult_acc_3", "Mult_acc_5", "MAE", "Corr")  # of Tables 2 and 5


@pytest.fixture
def pretend(monkeypatch):
    monkeypatch.setattr(studies, "train", pretend_to_train())


def printed(numbers, keys):
    """As the paper prints them, in its order; None where it prints none."""
    plain = {key: value if key in ("MAE", "Corr") else round(100 * value, 6) for key, value in numbers.items()}
    assert set(plain) <= set(keys)
    return [plain.get(key) for key in keys]


def rows(study):
    """{name: {dataset: numbers}}"""
    found = load_study(study)
    return {row.name: row.paper for row in (*found.variants, *found.context) if row.paper}


def test_the_studies_of_dmmsa_are_listed():
    assert set(STUDIES) <= {study.name for study in list_studies()}


# -- the paper's numbers -------------------------------------------------------------------------------------------------


def test_the_row_of_sims_is_the_same_in_both_of_its_tables():
    assert rows("dmmsa.table2")["DMMSA"] == rows("dmmsa.table5")["DMMSA"]
    assert list(rows("dmmsa.table2")) == ["DMMSA", "ConFEDE"]
    assert any("cannot be read" in note for note in load_study("dmmsa.table2").notes)


def test_the_row_of_confede_on_sims_is_dmmsas_less_what_the_abstract_says_it_gains():
    of_dmmsa, of_confede = (rows("dmmsa.table2")[name]["sims"] for name in ("DMMSA", "ConFEDE"))
    for key, gain in (("Mult_acc_3", 0.0127), ("Mult_acc_5", 0.0320), ("MAE", -0.0146)):
        assert of_dmmsa[key] - of_confede[key] == pytest.approx(gain)


def cells_of(line):
    """Numbers of a row of the text, None where it has a minus."""
    found = []
    for cell in line.split("\t")[1:]:
        # "-182.5" of the text is "-/82.5", "83,77" is 83.77.
        cell = re.sub(r"^-1(\d\d\.\d)$", r"-/\1", cell.replace("$", "").replace(",", ".").replace(" ", ""))
        found += [None if value == "-" else float(value) for value in cell.split("/")]
    return found


@pytest.mark.skipif(not PAPER.is_file(), reason="the paper's text is not here")
def test_every_number_of_tables_3_to_5_is_in_the_papers_text():
    table = {3: {}, 4: {}, 5: {}}
    for line in PAPER.read_text(encoding="utf-8").splitlines():
        line = re.sub(r"(\d\d) (\d\d)", r"\1.\2", line)  # "46 74" of the text is 46.74
        name, *cells = line.split("\t")
        if cells and cells[-1][-1:].isdigit():
            name = re.sub(r"\([^()]+\d{4}\)|[$*\\ ]", "", name).replace("(A)", ",aligned")
            table[{10: 3, 5: 4, 4: 5}[len(cells)]][name] = cells_of(line)
    for number, count in ((3, 9), (4, 6), (5, 4)):
        assert len(table[number]) == count
    for name, numbers in rows("dmmsa.table3").items():
        want = table[3].pop(name.replace(" ", ""))
        assert [*printed(numbers["mosi"], KEYS), *printed(numbers["mosei"], KEYS)] == want, name
    for name, numbers in rows("dmmsa.table4").items():
        share = int(name.split()[0]) / 100
        assert printed(numbers["mosei"], KEYS) == table[4].pop("MOSEI" if share == 1 else f"MOSEI{share}"), name
    for numbers, want in zip(rows("dmmsa.table5").values(), table[5].values(), strict=True):
        assert printed(numbers["sims"], SIMS) == want
    assert not table[3]
    assert not table[4]


# -- what they run ----------------------------------------------------------------------------------------------------


def options(study, variant):
    (found,) = (one for one in load_study(study).variants if one.name == variant)
    return config.override(methods.get(found.method).options(), found.options)


@pytest.mark.parametrize("study", STUDIES)
def test_the_first_variant_is_dmmsa_as_its_options_are(study):
    first = load_study(study).variants[0]
    assert first.method == "dmmsa"
    assert config.override(methods.get("dmmsa").options(), first.options) == methods.get("dmmsa").options()


@pytest.mark.parametrize(
    ("variant", "changed"),
    [
        ("w/o MSC", {"classification": False}),
        ("w/o CL", {"contrast": "none"}),
        ("w/o CL, same weight", {"contrast": "none", "gdwg_scale": 0.5}),
        ("w/o GDWG", {"gdwg": False}),
        (
            "fixed weights of ConFEDE",
            {"gdwg": False, "fixed_weights.unimodal": 0.01, "fixed_weights.contrast": 0.1},
        ),
        ("NT-Xent", {"contrast": "nt_xent"}),
    ],
)
def test_an_ablation_changes_its_part_alone(variant, changed):
    whole = methods.get("dmmsa").options()
    assert options("dmmsa.table5", variant) == config.override(whole, changed)


def test_shares_of_the_training_data_are_those_they_are_named_by():
    for variant in load_study("dmmsa.table4").variants:
        assert options("dmmsa.table4", variant.name).train_fraction == int(variant.name.split()[0]) / 100


@pytest.mark.usefixtures("pretend")
def test_encoders_are_trained_once_where_no_variant_changes_them(tmp_path):
    for study in STUDIES:
        found = load_study(study)
        assert found.share_stages == (study not in ("dmmsa.table2", "dmmsa.table3", "dmmsa.table4")), study
    dataset = tiny_dataset(metrics="sims", label_range=(-1.0, 1.0), name="sims")
    found = reproduce("dmmsa.table5", dataset, seeds=(1,), out=tmp_path / "out", log=None)
    taken = [one["options"].get("stages_from") for one in found.content["experiments"]]
    assert taken == [None, *[str((tmp_path / "out" / "dmmsa").resolve())] * 6]
    assert {one["preset"] for one in found.content["experiments"]} == {"dmmsa_sims"}
    means, differences = found.tables
    paper = {row[0]: row[3:] for row in means.rows if row[1] == "paper, sims"}
    assert paper["DMMSA"][:4] == ("69.63", "46.92", "0.3778", "0.66")
    assert paper["w/o GDWG"][:4] == ("69.32", "46.17", "0.3776", "0.663")
    assert {row[0]: row[-1] for row in differences.rows}["w/o GDWG"] == "-0.0002"


@pytest.mark.usefixtures("pretend")
def test_methods_of_a_table_have_a_preset_each(tmp_path):
    found = reproduce("dmmsa.table2", tiny_dataset(name="synthetic"), seeds=(1,), out=tmp_path / "out", log=None)
    presets = [one["preset"] for one in found.content["experiments"]]
    names = ("dmmsa", "confede", "self_mm", "lf_dnn", "mfn", "lmf", "tfn", "mult", "misa", "mag_bert")
    assert presets == [f"{name}_synthetic" for name in names]


@pytest.mark.parametrize("name", STUDIES)
def test_every_command_of_a_study_parses(name):
    lines = [line.strip() for line in load_study(name).description.splitlines() if line.strip().startswith("msa-jax ")]
    assert lines
    for line in lines:
        known, rest = command_line.parser().parse_known_args(shlex.split(line)[1:])
        assert known.study == name
        assert set(command_line._options(rest)) <= set(config.flatten(methods.get("dmmsa").options()))


# -- presets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dataset", "layers", "epochs", "batches"),
    [  # audio and vision; text, audio, vision, fusion
        ("mosi", (2, 2), (200, 100, 100, 25), (128, 128, 128, 16)),
        ("mosei", (3, 3), (150, 300, 300, 6), (64, 128, 128, 8)),
        ("sims", (2, 1), (150, 300, 300, 50), (64, 64, 64, 32)),
    ],
)
@pytest.mark.parametrize("method", ["confede", "dmmsa"])
def test_presets_have_the_values_of_the_authors_code(method, dataset, layers, epochs, batches):
    preset = config.load_preset(f"{method}_{dataset}")
    found = config.override(methods.get(method).options(), preset.options)
    own = (found.stage_text, found.stage_audio, found.stage_vision)
    assert (found.audio_layers, found.vision_layers) == layers
    assert (*(stage.max_epochs for stage in own), found.max_epochs) == epochs
    assert (*(stage.batch_size for stage in own), found.batch_size) == batches
    assert found.patience == found.max_epochs
    warmups = [round(stage.warmup * stage.max_epochs) for stage in own] + [round(found.warmup * found.max_epochs)]
    assert warmups == [5, 10, 5 if dataset == "mosi" else 10, 1]
    assert found.text_layers == (1 if dataset == "sims" else None)
