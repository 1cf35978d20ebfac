import io
import json
import statistics
from dataclasses import dataclass, replace

import numpy as np
import pytest

from msa_jax import methods
from msa_jax.errors import InputError, OutOfMemory, TrainingStopped
from msa_jax.report import studies, study_plan
from msa_jax.report.studies import load_study, reproduce
from tests.report.studies_kit import pretend_to_train, scores, write_study
from tests.tiny import TOY, TOY_QUICK, ToyOptions, renamed, tiny_dataset, toy  # noqa: F401 - toy is a fixture

VARIANTS = (
    {"name": "A", "method": "toy", "options": {"dropout": 0.0}},
    {"name": "B, big", "method": "toy", "options": {"dropout": 0.4}},
    {"name": "C", "method": "toy", "needs": ("vision",)},
)
ROWS = """
    A      | 0.730 0.781 -
    B, big | 0.713 -     -
    C      | 0.732 -     -
    TFN    | 0.901 -     80.8 | copied from MISA, GloVe
"""


@pytest.fixture
def audio():
    return tiny_dataset(modalities=("audio",))


@pytest.fixture
def no_training(monkeypatch):
    def train(*arguments, **named):
        raise AssertionError("trained again")

    monkeypatch.setattr(studies, "train", train)


@pytest.fixture
def pretend(monkeypatch):
    monkeypatch.setattr(studies, "train", pretend_to_train())


def without_folders(content):
    experiments = [{**experiment, "folder": None} for experiment in content["experiments"]]
    return {**content, "folder": None, "experiments": experiments}


# -- running ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("toy")
def test_a_study_is_run_once_interrupted_resumed_and_rendered(tmp_path, audio, monkeypatch):
    study = write_study(tmp_path / "toy_table9.py", variants=VARIANTS[1:])
    given = {"seeds": (1, 2), "options": {**TOY_QUICK, "max_epochs": 3, "runs_per_program": 1, "train_fraction": 0.75}}
    found = reproduce(study, audio, out=tmp_path / "one", log=None, **given)

    # One folder for each possible variant, in which `train` left what it always leaves.
    assert [path.name for path in (tmp_path / "one").iterdir() if path.is_dir()] == ["b-big"]
    result = json.loads((tmp_path / "one" / "b-big" / "result.json").read_text())
    assert result["runs"][0]["hyperparameters"]["dropout"] == 0.4
    row, impossible = found.content["rows"]
    for key in ("MAE", "Has0_acc_2"):
        values = [run["test"][key] for run in result["runs"]]
        assert row["mean"][key] == pytest.approx(statistics.mean(values))
        assert row["std"][key] == pytest.approx(statistics.stdev(values))
    assert [run["seed"] for run in row["runs"]] == [1, 2]
    assert impossible["runs"] == []
    assert found.content["experiments"][1]["not_possible_because"] == "the dataset has no vision"
    written = json.loads((tmp_path / "one" / "table.json").read_text())
    assert written == json.loads(json.dumps(found.content))

    # Ctrl-C after the second epoch of the second seed; the same call goes on from there to the same numbers.
    class Interrupting(io.StringIO):
        def write(self, text):
            if "seed 2  epoch   2" in text:
                raise KeyboardInterrupt
            return super().write(text)

    with pytest.raises(KeyboardInterrupt):
        reproduce(study, audio, out=tmp_path / "two", log=Interrupting(), **given)
    assert (tmp_path / "two" / "b-big" / "config.json").exists()
    assert not (tmp_path / "two" / "b-big" / "result.json").exists()
    log = io.StringIO()
    again = reproduce(study, audio, out=tmp_path / "two", log=log, **given)
    assert "seed 1  epoch" not in log.getvalue()
    assert without_folders(again.content) == without_folders(found.content)

    # Nothing is missing any more, so nothing is trained.
    monkeypatch.setattr(studies, "train", None)
    log = io.StringIO()
    assert reproduce(study, audio, out=tmp_path / "two", log=log, **given).content == again.content
    first, second = log.getvalue().splitlines()
    assert first == f"toy_table9: B, big (1 of 2): finished, read from {tmp_path / 'two' / 'b-big'}"
    assert second == "toy_table9: C (2 of 2): not possible here: the dataset has no vision"


@pytest.mark.usefixtures("toy", "pretend")
def test_seeds_protocol_preset_and_default_folder_are_those_of_train(tmp_path, audio, monkeypatch):
    monkeypatch.chdir(tmp_path)
    preset = tmp_path / "mine.py"
    preset.write_text('PRESET = {"method": "toy", "options": {"batch_size": 5}}\n')
    study = write_study(tmp_path / "toy_table9.py")
    found = reproduce(study, audio, preset=str(preset), protocol="reference", log=None)
    content = json.loads((tmp_path / "runs" / "toy_table9-tiny" / "a" / "config.json").read_text())
    assert content["seeds"] == [1111, 1112, 1113, 1114, 1115]
    assert content["protocol"] == "reference"
    assert content["options"]["batch_size"] == 5
    assert "toy with protocol reference, preset " in " ".join(found.text.split())


@pytest.mark.usefixtures("toy", "pretend")
def test_some_variants_can_be_asked_for_and_the_others_later(tmp_path, audio):
    study = write_study(tmp_path / "toy_table9.py", variants=VARIANTS[:2])
    given = {"out": tmp_path / "out", "seeds": (1, 2), "log": None}
    part = reproduce(study, audio, variants=["B, big"], **given)
    assert [row["variant"] for row in part.content["rows"]] == ["B, big"]
    assert "A part of the study: 1 of its 2 variants were asked for." in part.content["notes"]
    assert [path.name for path in (tmp_path / "out").iterdir() if path.is_dir()] == ["b-big"]
    whole = reproduce(study, audio, **given)
    assert [row["variant"] for row in whole.content["rows"]] == ["A", "B, big"]
    assert not any("part of the study" in note for note in whole.content["notes"])
    with pytest.raises(InputError, match="study toy_table9 has no variant 'C'; there are A; B, big"):
        reproduce(study, audio, variants=["A", "C"], **given)


@pytest.mark.usefixtures("toy", "pretend")
@pytest.mark.parametrize("name", ["table.tex", "table.json", "photo.png"])
def test_what_no_study_wrote_is_not_overwritten(tmp_path, audio, name):
    study, out = write_study(tmp_path / "toy_table9.py"), tmp_path / "out"
    out.mkdir()
    (out / name).write_text('{"my": "thesis"}')
    with pytest.raises(InputError, match=f"{name}: would be overwritten, and no study wrote it"):
        reproduce(study, audio, out=out, seeds=(1,), log=None)
    assert [path.name for path in out.iterdir()] == [name]
    assert (out / name).read_text() == '{"my": "thesis"}'


@pytest.mark.usefixtures("toy")
def test_variants_that_are_the_same_in_every_number_are_said_to_be(tmp_path, audio, monkeypatch):
    monkeypatch.setattr(studies, "train", pretend_to_train())
    monkeypatch.setattr("tests.report.studies_kit.scores", lambda seed, *_: scores(seed, "toy", {}, "mosi"))
    study = write_study(tmp_path / "toy_table9.py", variants=[{**VARIANTS[0]}, {**VARIANTS[1]}])
    found = reproduce(study, audio, out=tmp_path / "out", seeds=(1, 2), log=None)
    note = (
        "A, B, big: the same in every number (best epochs 2). Either what they differ in has no effect on this dataset"
    )
    assert note in " ".join(found.text.split())


@pytest.mark.usefixtures("toy", "pretend")
def test_an_option_holds_for_every_variant_whose_method_has_it(tmp_path, audio, request):
    @dataclass(frozen=True, kw_only=True)
    class WideOptions(ToyOptions):
        width: int = 4

    methods.register(replace(TOY, name="wide", options=WideOptions))
    request.addfinalizer(lambda: methods.METHODS.remove("wide"))
    variants = ({"name": "A", "method": "toy"}, {"name": "B", "method": "wide"})
    study = write_study(tmp_path / "toy_table9.py", variants=variants)
    options = {"width": "8", "max_epochs": "2"}
    found = reproduce(study, audio, seeds=(1,), out=tmp_path / "out", log=None, options=options)
    first, second = found.content["experiments"]
    assert first["options"] == {"max_epochs": 2}
    assert second["options"] == {"max_epochs": 2, "width": 8}
    assert "Without option width, which the method does not have: A." in found.text


@pytest.mark.usefixtures("pretend")
def test_methods_of_a_study_may_have_a_preset_each(tmp_path):
    variants = tuple({"name": name, "method": name} for name in ("self_mm", "sugrm", "text_only"))
    study = write_study(tmp_path / "toy_table9.py", variants=variants)
    given = {"seeds": (1,), "out": tmp_path / "out", "log": None}
    found = reproduce(study, tiny_dataset(), preset="sugrm_mosei,self_mm_mosi_reference", **given)
    chosen = {one["method"]: (one["preset"], one["protocol"]) for one in found.content["experiments"]}
    assert chosen == {
        "self_mm": ("self_mm_mosi_reference", "reference"),
        "sugrm": ("sugrm_mosei", "paper"),
        "text_only": (None, "paper"),
    }
    with pytest.raises(InputError, match="presets sugrm_mosi and sugrm_mosei are both for method sugrm"):
        reproduce(study, tiny_dataset(), preset="sugrm_mosi,sugrm_mosei", **given)


def test_a_preset_of_a_method_from_outside_is_found_by_its_name(tmp_path):
    (tmp_path / "own_fast.py").write_text('"""Fast."""\n\nPRESET = {"method": "own", "options": {"batch_size": 3}}\n')
    methods.register(replace(TOY, name="own", presets=tmp_path))
    try:
        study = load_study(write_study(tmp_path / "toy_table9.py", variants=[{"name": "A", "method": "own"}]))
        assert study_plan.presets(study, "own_fast") == {"own": "own_fast"}
    finally:
        methods.METHODS.remove("own")


# -- what a user can get wrong ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("toy", "no_training")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"options": {"dropout": "0.1"}}, r"option dropout is what study toy_table9 varies \(A: 0.0; B, big: 0.4\)"),
        ({"options": {"batchsize": "8"}}, r"unknown option 'batchsize'; did you mean batch_size"),
        ({"options": {"batch_size": "many"}}, r"option batch_size is 'many'"),
        ({"options": {"preset": "none"}}, r"unknown option 'preset'"),
        ({"preset": "self_mm_mosi"}, r"preset self_mm_mosi is for method self_mm; study toy_table9 has toy"),
        ({"preset": "none,self_mm_mosi"}, r"no preset 'none'"),
        ({"protocol": "mine"}, r"protocol is 'mine'; expected paper or reference"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(tmp_path, audio, changes, message):
    study = write_study(tmp_path / "toy_table9.py", variants=VARIANTS)
    with pytest.raises(InputError, match=message):
        reproduce(study, audio, seeds=(1,), out=tmp_path / "out", log=None, **changes)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("toy", "pretend")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": (1, 3)}, r"a: a finished experiment with seeds 1,2; the study runs 1,3: choose another --out"),
        ({"options": {"patience": 3}}, r"a finished experiment with option patience 8; the study runs 3"),
        ({"protocol": "reference"}, r"a finished experiment with protocol paper; the study runs reference"),
        ({"data": tiny_dataset(5, modalities=("audio",))}, r"a: a finished experiment on other data of that name"),
        ({"data": renamed(tiny_dataset(modalities=("audio",)), "other")}, r"dataset tiny; the study runs other"),
    ],
)
def test_a_finished_experiment_of_something_else_is_not_taken(tmp_path, audio, changes, message):
    study = write_study(tmp_path / "toy_table9.py", variants=VARIANTS)
    given = {"data": audio, "seeds": (1, 2), "out": tmp_path / "out", "log": None}
    reproduce(study, **given)
    with pytest.raises(InputError, match=message):
        reproduce(study, **given | changes)


@pytest.mark.usefixtures("toy", "pretend")
@pytest.mark.parametrize(
    "option", [{"runs_per_program": 1}, {"data_devices": 2}, {"remat": True}, {"resident": "no"}], ids=str
)
def test_a_study_goes_on_with_options_that_need_less_memory(tmp_path, audio, option):
    study = write_study(tmp_path / "toy_table9.py", variants=VARIANTS[:2])
    given = {"data": audio, "seeds": (1, 2), "out": tmp_path / "out", "log": None}
    reproduce(study, variants=["A"], **given)
    again = reproduce(study, options=option, **given)
    assert [len(row["runs"]) for row in again.content["rows"]] == [2, 2]


@pytest.mark.usefixtures("toy", "pretend")
def test_rows_that_were_computed_in_different_formats_are_told(tmp_path, audio):
    study = write_study(tmp_path / "toy_table9.py", variants=VARIANTS[:2])
    given = {"data": audio, "seeds": (1, 2), "out": tmp_path / "out", "log": None}
    reproduce(study, **given)
    for name, precision in (("a", "bfloat16"), ("b-big", "float32")):
        path = tmp_path / "out" / name / "result.json"
        result = json.loads(path.read_text())
        result["runs"] = [{**run, "hyperparameters": {"precision": precision}} for run in result["runs"]]
        path.write_text(json.dumps(result))
        notes = reproduce(study, **given).tables[0].notes
        told = [note for note in notes if note.startswith("Computed in")]
        assert told == (["Computed in bfloat16: A.", "Computed in float32: B, big."] if name == "b-big" else [])


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize("kind", [TrainingStopped, OutOfMemory])
def test_a_row_that_fails_is_named_in_a_table_and_stops_a_figure(tmp_path, audio, monkeypatch, kind):
    well = pretend_to_train()

    def train(method, dataset, *, out, **named):
        if out.name == "a":
            raise kind("seed 1, epoch 2: the loss is nan")
        well(method, dataset, out=out, **named)

    monkeypatch.setattr(studies, "train", train)
    study = write_study(tmp_path / "toy_table9.py", variants=VARIANTS)
    found = reproduce(study, audio, seeds=(1, 2), out=tmp_path / "out", log=None)
    assert "Not possible here: A: seed 1, epoch 2: the loss is nan." in " ".join(found.text.split())
    assert [bool(row["runs"]) for row in found.content["rows"]] == [False, True, False]
    figure = write_study(tmp_path / "toy_figure9.py", kind="case_table", columns=None)
    with pytest.raises(TrainingStopped, match="the loss is nan"):
        reproduce(figure, audio, seeds=(1,), out=tmp_path / "other", log=None)


@pytest.mark.usefixtures("toy", "pretend")
def test_an_option_that_is_younger_than_a_finished_experiment_had_its_default(tmp_path, audio):
    study = write_study(tmp_path / "toy_table9.py")
    given = {"seeds": (1,), "out": tmp_path / "out", "log": None}
    first = reproduce(study, audio, **given)
    path = tmp_path / "out" / "a" / "config.json"
    content = json.loads(path.read_text())
    del content["options"]["patience"]
    path.write_text(json.dumps(content))
    assert reproduce(study, audio, **given).content == first.content
    with pytest.raises(InputError, match="a finished experiment with option patience 8; the study runs 3"):
        reproduce(study, audio, options={"patience": 3}, **given)


@pytest.mark.usefixtures("toy", "pretend")
def test_a_finished_experiment_without_the_labels_that_a_figure_needs_is_not_taken(tmp_path, audio):
    given = {"seeds": (1,), "out": tmp_path / "out", "log": None}
    reproduce(write_study(tmp_path / "toy_table9.py"), audio, **given)
    figure = write_study(tmp_path / "toy_figure9.py", kind="label_distribution", columns=None)
    with pytest.raises(InputError, match="finished experiment with record_labels false; the study runs true"):
        reproduce(figure, audio, **given)


@pytest.mark.usefixtures("toy", "no_training")
def test_folders_that_are_no_place_for_a_study_are_refused(tmp_path, audio):
    study = write_study(tmp_path / "toy_table9.py")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match="holds an experiment; a study has one folder for each variant"):
        reproduce(study, audio, out=tmp_path, log=None)
    with pytest.raises(InputError, match="cannot be made"):
        reproduce(study, audio, out=study / "below", log=None)


@pytest.mark.usefixtures("toy", "no_training")
def test_a_study_of_which_nothing_is_possible_says_why(tmp_path, audio):
    study = write_study(tmp_path / "toy_table9.py", variants=VARIANTS[2:])
    with pytest.raises(InputError, match=r"nothing of it is possible on tiny: C: the dataset has no vision"):
        reproduce(study, audio, out=tmp_path / "out", log=None)


def test_unknown_studies_are_refused_with_the_nearest_names(tmp_path):
    with pytest.raises(InputError, match=r"no study 'self_mm.tabel4'; there are .*self_mm.table4"):
        load_study("self_mm.tabel4")
    with pytest.raises(InputError, match="cannot be read"):
        load_study(tmp_path / "none.py")


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"colour": "red"}, r"unknown entry 'colour'; expected some of title, kind"),
        ({"title": None}, r"no title; expected title, kind"),
        ({"kind": "pie"}, r"kind is 'pie'; expected one of table"),
        ({"columns": None}, r"no columns; expected keys such as MAE for a table"),
        ({"columns": "mae"}, r"column 'mae'; expected each at most once, of CCC"),
        ({"columns": "MAE Corr/MAE"}, r"column 'MAE'; expected each at most once"),
        ({"kind": "case_table"}, r"column 'MAE'; expected each at most once, of label, label_a, label_t, label_v"),
        ({"kind": "retrieval"}, r"column 'MAE'; expected each at most once, of none"),
        ({"also": ("mae",)}, r"also: column 'mae'"),
        ({"rows": "A | 0.7 0.8"}, r"row 'A', mosi: 2 numbers or pairs; expected 3"),
        ({"rows": "A | 0.7 0.8 80/81"}, r"row 'A', mosi: '80/81'; expected Non0_acc_2"),
        ({"rows": "A | 0.7 nan 80.1"}, r"row 'A', mosi: Corr is 'nan'; expected a number or -"),
        ({"rows": "A"}, r"row 'A': 0 cells; expected one for each dataset \(mosi\) and an origin"),
        ({"rows": "A | - | re-run | -"}, r"row 'A': 3 cells"),
        ({"rows": "A | - | heard"}, r"row 'A': origin 'heard'; expected words such as re-run, copied"),
        ({"rows": "A | - | re-run; re-run"}, r"row 'A': 2 origins; expected one, or one for each dataset \(mosi\)"),
        ({"rows": "A | -\nA | -"}, r"row 'A': expected a name that no other row has"),
        ({"rows": "| -"}, r"row '': expected a name"),
        ({"base": {"colour": "red"}}, r"variant 0: base: unknown entry 'colour'"),
        ({"variants": ()}, r"no variants"),
        ({"variants": "A"}, r"variants is 'A'; expected tuple"),
        ({"variants": ({"name": "A"},)}, r"variant 0: no method"),
        ({"variants": ({"name": "A!", "method": "toy"}, {"name": "a", "method": "toy"})}, r"the name 'A!'"),
        ({"variants": ({"name": "A", "method": "toy", "needs": ("smell",)},)}, r"variant 0: needs 'smell'"),
        ({"datasets": {"mosi": {"size": 3}}}, r"dataset mosi: unknown entry 'size'"),
        ({"datasets": {"mosi": {"aligned": "yes"}}}, r"dataset mosi: aligned is 'yes'; expected bool"),
    ],
)
def test_a_study_file_of_another_form_is_refused(tmp_path, entries, message):
    path = write_study(tmp_path / "toy_table9.py", **entries)
    with pytest.raises(InputError, match=message) as error:
        load_study(path)
    assert str(path) in str(error.value)


def test_variants_begin_with_what_all_have_and_rows_are_percent_as_printed(tmp_path):
    path = write_study(
        tmp_path / "toy_table9.py",
        datasets={"mosi": {}, "mosei": {}},
        columns="Has0_acc_2/Non0_acc_2 MAE",
        rows="A | -/80.83 .701 | - | not said\n  B | 83.2/- - | 1/2 0.5 | re-run, selected on test; copied from MMSA",
        also=("Mult_acc_7",),
        base={"method": "toy", "options": {"dropout": 0.3, "batch_size": 4}, "needs": ("audio",)},
        variants=({"name": "A"}, {"name": "C", "method": "tfn", "options": {"dropout": 0.1}, "needs": ()}),
    )
    study = load_study(path)
    first, second = study.variants
    assert (first.method, first.options, first.needs) == ("toy", {"dropout": 0.3, "batch_size": 4}, ("audio",))
    assert (second.method, second.options, second.needs) == ("tfn", {"dropout": 0.1, "batch_size": 4}, ())
    assert first.paper == {"mosi": {"Non0_acc_2": 0.8083, "MAE": 0.701}}
    (row,) = study.context
    assert row.paper == {"mosi": {"Has0_acc_2": 0.832}, "mosei": {"Has0_acc_2": 0.01, "Non0_acc_2": 0.02, "MAE": 0.5}}
    assert row.origin == {"mosi": "re-run, selected on test", "mosei": "copied from MMSA"}
    assert first.origin == {"mosi": "not said"}
    assert study.metrics == ("Has0_acc_2", "Non0_acc_2", "MAE", "Mult_acc_7", "Mult_acc_2")


def test_a_study_file_is_read_and_never_run(tmp_path):
    path = tmp_path / "toy_table9.py"
    path.write_text(f"STUDY = {{'title': open({str(tmp_path / 'ran')!r}, 'w').name}}\n")
    with pytest.raises(InputError, match="must be a literal"):
        load_study(path)
    assert not (tmp_path / "ran").exists()


# -- rendering a table ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("toy", "pretend")
def test_the_papers_numbers_stand_below_ours_with_the_name_of_their_dataset(tmp_path, audio):
    study = write_study(tmp_path / "toy_table9.py", variants=VARIANTS, rows=ROWS, notes=("A remark.",))
    found = reproduce(study, audio, seeds=(1, 2), out=tmp_path / "out", log=None)
    table = found.tables[0]
    assert table.columns == ("variant", "source", "runs", "MAE", "Corr", "Acc-2 non0")
    sources = [(row[0], row[1]) for row in table.rows]
    assert sources == [
        ("A", "tiny"),
        ("A", "paper, mosi"),
        ("B, big", "tiny"),
        ("B, big", "paper, mosi"),
        ("C", "not possible"),
        ("C", "paper, mosi"),
        ("TFN", "paper, mosi (copied from MISA, GloVe)"),
    ]
    (words,) = [note for note in table.notes if note.startswith("In brackets")]
    assert words == (
        "In brackets, of the paper's numbers: copied: taken over from another paper; GloVe: with GloVe word vectors instead of "
        "BERT."
    )
    assert found.content["context"] == [
        {
            "name": "TFN",
            "paper": {"mosi": {"MAE": 0.901, "Non0_acc_2": 0.808}},
            "origin": {"mosi": "copied from MISA, GloVe"},
        }
    ]
    ours = [scores(seed, "toy", {"dropout": 0.0}, "mosi")["MAE"] for seed in (1, 2)]
    assert table.rows[0][3] == f"{statistics.mean(ours):.3f} ± {statistics.stdev(ours):.3f}"
    assert table.rows[1][3:] == ("0.730", "0.781", "-")
    assert table.rows[6][3:] == ("0.901", "-", "80.8")
    assert "A remark." in table.notes
    assert "Not possible here: C: the dataset has no vision." in table.notes
    for name, rendered in (("table.md", found.markdown()), ("table.tex", found.latex())):
        assert (tmp_path / "out" / name).read_text() == rendered
    assert "| paper, mosi" in found.markdown()
    assert "\\begin{tabular}" in found.latex()


@pytest.mark.usefixtures("toy", "pretend")
def test_differences_are_paired_by_seed_and_stand_beside_the_papers(tmp_path, audio):
    study = write_study(tmp_path / "toy_table9.py", variants=VARIANTS, rows=ROWS)
    found = reproduce(study, audio, seeds=(1, 2, 3), out=tmp_path / "out", log=None)
    first, second = (
        np.array([scores(seed, "toy", {"dropout": rate}, "mosi")["MAE"] for seed in (1, 2, 3)]) for rate in (0.0, 0.4)
    )
    difference = second - first
    half = 4.302653 * difference.std(ddof=1) / np.sqrt(3)  # t quantile of 2 degrees of freedom, 97.5 %
    (row,) = found.tables[1].rows
    assert row[0] == "B, big"
    assert row[2] == f"{difference.mean():+.3f} ± {difference.std(ddof=1):.3f}"
    assert row[3] == f"[{difference.mean() - half:+.3f}, {difference.mean() + half:+.3f}]"
    assert row[5] == "-0.017"  # 0.713 - 0.730
    assert found.content["difference_from"] == "A"


@pytest.mark.usefixtures("toy", "pretend")
@pytest.mark.parametrize(
    ("name", "rows", "datasets", "expected"),
    [
        # another name, other rows, no text, no vision
        ("tiny", (24, 8, 8), {"mosi": {"rows": (1284, 229, 686)}}, ("mosi", "the dataset is tiny; train/valid/test")),
        # the metrics' kind decides between two papers' datasets
        ("tiny", (24, 8, 8), {"sims": {}, "mosi": {}}, ("mosi", "the dataset is tiny; there is no text and no vision")),
        (
            "mosi",
            (24, 8, 8),
            {"sims": {}, "mosi": {"rows": (24, 8, 8)}},
            ("mosi", "there is no text and no vision."),
        ),
        ("tiny", (24, 8, 8), {"sims": {}}, ("sims", "the dataset is tiny; there is")),
    ],
)
def test_a_note_says_why_numbers_are_not_comparable(tmp_path, audio, name, rows, datasets, expected):
    cells = {"columns": "MAE", "rows": " | ".join(("A", "0.7", *("-" for _ in range(len(datasets) - 1))))}
    study = write_study(tmp_path / "toy_table9.py", datasets=datasets, **cells)
    found = reproduce(study, renamed(audio, name), seeds=(1,), out=tmp_path / "out", log=None)
    reference, reason = expected
    assert found.content["paper_dataset"] == reference
    assert not found.content["comparable"]
    note = next(note for note in found.tables[0].notes if note.startswith("paper: as it prints them for"))
    assert f"for {reference}. NOT comparable with the numbers here: {reason}" in note


@pytest.mark.usefixtures("pretend")
@pytest.mark.parametrize(
    ("encoder", "comparable"),
    [("google-bert/bert-base-uncased", True), ("weights/bert-base-uncased", True), ("bert-base-cased", False)],
)
def test_the_same_dataset_is_comparable_when_the_text_encoder_is_the_papers(tmp_path, encoder, comparable):
    dataset = tiny_dataset(name="mosi")
    datasets = {"mosi": {"text_encoder": "bert-base-uncased", "rows": (24, 8, 8)}}
    entries = {"variants": ({"name": "A", "method": "self_mm"},), "columns": "MAE", "rows": "A | 0.7"}
    study = write_study(tmp_path / "toy_table9.py", datasets=datasets, **entries)
    options = {"text_encoder": encoder}
    found = reproduce(study, dataset, seeds=(1,), out=tmp_path / "out", log=None, options=options)
    assert found.content["comparable"] == comparable
    assert ("NOT comparable" in found.text) == (not comparable)


@pytest.mark.usefixtures("toy")
def test_a_table_without_a_row_is_an_error(tmp_path, audio, monkeypatch):
    def refuse(*arguments, **named):
        raise InputError("text_encoder /none: no such folder")

    monkeypatch.setattr(studies, "train", refuse)
    study = write_study(tmp_path / "toy_table9.py", variants=VARIANTS[:2])
    with pytest.raises(
        InputError, match="nothing of it came to its end: A: text_encoder /none: no such folder; B, big: "
    ):
        reproduce(study, audio, out=tmp_path / "out", seeds=(1,), log=None)
    assert not (tmp_path / "out" / "table.md").exists()
