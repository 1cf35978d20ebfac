"""The command: what it prints, what it writes, and one line and exit status 2 for whatever is wrong."""

import csv
import io
import json
import os
import shlex
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import pytest

from msa_jax import __version__, config, metrics
from msa_jax.cli import main
from msa_jax.data import load_dataset, read_native, write_native
from msa_jax.data.describe import card_text
from msa_jax.errors import InputError
from msa_jax.methods import METHODS
from tests.mmsa_writer import write_mmsa
from tests.paths import REPOSITORY
from tests.tiny import QUICK, tiny_dataset, toy  # noqa: F401 - a fixture

pytestmark = pytest.mark.usefixtures("toy")

QUICKLY = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in QUICK.items())
TOY = "--max-epochs 2 --batch-size 7 --checkpoint-epochs 100 --quiet"


@dataclass
class Done:
    """What a command left."""

    status: int
    out: str
    err: str


@pytest.fixture
def run(capsys) -> Callable[[str], Done]:
    """run("train self_mm --data d") -> Done"""

    def command(line: str) -> Done:
        capsys.readouterr()
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            status = main(shlex.split(line))
        return Done(status, *capsys.readouterr())

    return command


def refused(done: Done, *messages: str) -> None:
    assert done.status == 2
    assert done.out == ""
    *progress, error = done.err.splitlines()  # an error is one line, the last one; warnings may stand before it
    progress = [line for line in progress if not line.startswith("msa-jax: warning: ")]
    assert error.startswith("msa-jax: ")
    assert not any(line.startswith(("msa-jax: ", "Traceback")) for line in progress)
    for message in messages:
        assert message in error


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a dataset of three modalities, one of audio alone, and a finished experiment of self_mm."""
    place = tmp_path_factory.mktemp("cli")
    write_native(tiny_dataset(), place / "data")
    write_native(tiny_dataset(modalities=("audio",)), place / "audio")
    line = f"train self_mm --data {place / 'data'} --seeds 1 2 --out {place / 'run'} --preset none --quiet --json {QUICKLY}"
    line += " --runs-per-program 1"  # compiled by other tests too
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        assert main(shlex.split(line)) == 0
    (place / "train.json").write_text(out.getvalue())
    return place


@pytest.fixture
def here(place, tmp_path, monkeypatch) -> Path:
    """An empty working folder beside which `place` can be read as ../place."""
    (tmp_path / "place").symlink_to(place)
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    return tmp_path / "cwd"


# -- training and what follows ----------------------------------------------------------------------------------------


def test_train_prints_the_result_it_wrote(place):
    printed = json.loads((place / "train.json").read_text())
    assert printed == json.loads((place / "run" / "result.json").read_text())
    assert [run["seed"] for run in printed["runs"]] == [1, 2]
    assert printed["runs"][0]["hyperparameters"]["scratch_width"] == 32


def test_train_prints_a_table_and_its_progress_goes_to_standard_error(run, here):
    done = run(
        "train toy --data ../place/audio --seeds 1 --out mine --max-epochs 2 --batch-size 7 --checkpoint-epochs 100"
    )
    assert done.status == 0
    assert "MAE" in done.out
    assert "mine" in done.out
    lines = done.err.splitlines()
    assert lines[:5] == [
        "method toy, reading ../place/audio",
        "method toy, paper protocol, no preset",
        "data tiny: train 24, valid 8, test 8; audio",
        "1 run (seed 1), into mine",
        "loading JAX",
    ]
    assert lines[5].startswith("on ")  # the dataset has no text for a text encoder
    assert not set(lines[:5]) & set(lines[5:])  # nothing is said twice
    assert [line.split()[:4] for line in lines[5:-1] if "epoch" in line] == [
        ["seed", "1", "epoch", str(n)] for n in (1, 2)
    ]
    assert any("parameters" in line for line in lines)
    assert (here / "mine" / "result.json").is_file()
    content = json.loads((here / "mine" / "config.json").read_text())
    assert content["options"]["batch_size"] == 7


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("train self_mm --data large.pkl", "method self_mm, reading large.pkl\n"),
        ("sweep tfn --data large.pkl --grid batch_size=4,8", "method tfn, reading large.pkl\n"),
        ("train self_mm --data large.pkl --quiet", ""),
    ],
)
def test_that_data_are_read_is_said_before_they_are(run, here, monkeypatch, line, said):
    def reading(source):
        raise InputError(f"{source}: is being read")

    monkeypatch.setattr("msa_jax.data.load_dataset", reading)
    assert run(line).err == f"{said}msa-jax: large.pkl: is being read\n"


def test_a_full_log_is_no_bug_of_ours(monkeypatch, here):
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stderr", Full())
    assert main(["train", "lmf", "--data", "nowhere"]) == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("train lmf --data large.pkl --batch-sise 4", "unknown option 'batch_sise'; did you mean batch_size"),
        (
            "sweep lmf --data large.pkl --grid seed=1 --batch-sise 4",
            "unknown option 'batch_sise'; did you mean batch_size",
        ),
    ],
)
def test_names_that_are_wrong_are_refused_before_data_are_read(run, here, monkeypatch, line, said):
    monkeypatch.setattr("msa_jax.data.load_dataset", lambda source: pytest.fail("data are read"))
    error = run(line).err
    assert said in error
    assert "reading" not in error


def test_a_control_character_in_the_name_of_data_that_are_read_is_shown(run, here):
    said, *_ = run("train self_mm --data 'a\x1b[2Jb'").err.splitlines()
    assert said == r"method self_mm, reading a\x1b[2Jb"


@pytest.mark.parametrize(("primary", "said"), [(True, "method self_mm, reading large.pkl\n"), (False, "")])
def test_of_several_processes_only_the_first_says_that_it_reads(run, here, monkeypatch, primary, said):
    def reading(source):
        raise InputError(f"{source}: is being read")

    monkeypatch.setattr("msa_jax.train.processes.join", lambda *address: None)
    monkeypatch.setattr("msa_jax.train.processes.is_primary", lambda: primary)
    monkeypatch.setattr("msa_jax.data.load_dataset", reading)
    assert run("train self_mm --data large.pkl --distributed").err == f"{said}msa-jax: large.pkl: is being read\n"


@pytest.mark.slow
def test_options_can_be_given_with_an_equals_sign(run, here):
    done = run(
        "train toy --data=../place/audio --seeds 1 --out=mine --max-epochs=1 --learning-rate.audio=0.5 --quiet --json"
    )
    assert done.status == 0
    assert done.err == ""
    assert json.loads(done.out)["runs"][0]["hyperparameters"]["learning_rate.audio"] == 0.5


def test_a_finished_experiment_is_refused_and_can_be_overwritten(run, here):
    line = f"train toy --data ../place/audio --seeds 1 --out mine {TOY}"
    assert run(line).status == 0
    refused(run(line), "mine: this experiment is finished")
    assert run(f"{line} --overwrite").status == 0


def test_labels_are_recorded_where_that_is_asked_for(run, here):
    assert run(f"train toy --data ../place/audio --seeds 3 --out mine --record-labels {TOY}").status == 0
    assert len(list((here / "mine" / "labels" / "3").iterdir())) == 2


def test_evaluate_gives_the_metrics_that_training_gave(run, here):
    trained = json.loads((here / "../place/run/result.json").read_text())
    done = run("evaluate ../place/run --json")
    assert done.status == 0
    again = json.loads(done.out)
    assert again["split"] == "test"
    for one, other in zip(again["runs"], trained["runs"], strict=True):
        assert one["seed"] == other["seed"]
        assert one["test"] == pytest.approx(other["test"], abs=1e-6)
    assert again["mean"] == pytest.approx(trained["mean"], abs=1e-6)


@pytest.mark.slow
def test_evaluate_scores_other_data_and_other_splits(run, here):
    done = run("evaluate ../place/run --data ../place/data --split train")
    assert done.status == 0
    assert all(key in done.out for key in metrics.METRIC_KEYS["mosi"])
    assert "train" in done.out


def test_predict_writes_ids_labels_and_all_heads(run, here):
    done = run("predict ../place/run --data ../place/data --out scores/mine.csv --json")
    assert done.status == 0
    assert json.loads(done.out)["rows"] == 8
    with open("scores/mine.csv", newline="") as file:
        rows = list(csv.reader(file))
    with open("../place/run/predictions/test.csv", newline="") as file:
        trained = list(csv.reader(file))
    assert rows[0] == trained[0]
    assert rows[0][2:] == [f"{seed}/{head}" for seed in (1, 2) for head in ("prediction", "text", "audio", "vision")]
    assert [row[:2] for row in rows] == [row[:2] for row in trained]
    numbers = [np.array([row[2:] for row in table[1:]], float) for table in (rows, trained)]
    np.testing.assert_allclose(*numbers, atol=1e-6)


@pytest.mark.parametrize(("form", "holds"), [("text", "MAE"), ("markdown", "| "), ("latex", "\\begin{tabular}")])
def test_compare_makes_a_table(run, here, form, holds):
    done = run(f"compare ../place/run --format {form}")
    assert done.status == 0
    assert holds in done.out


def test_compare_prints_json(run, here):
    assert json.loads(run("compare ../place/run --json").out)["split"] == "test"


# -- data -------------------------------------------------------------------------------------------------------------


def test_a_synthetic_dataset_is_made_checked_described_and_converted(run, here):
    assert run("data synthetic --out made --train 12 --valid 3 --test 4 --seed 5").status == 0
    assert {name: len(split) for name, split in read_native(here / "made").splits().items()} == {
        "train": 12, "valid": 3, "test": 4,
    }  # fmt: skip
    checked = json.loads(run("data check made --json").out)
    assert checked == {"name": "synthetic", "counts": {"train": 12, "valid": 3, "test": 4}, "valid": True}
    assert "train 12, valid 3, test 4" in run("data check made").out
    described = run("data describe made --json")
    assert json.loads(described.out)["splits"]["train"]["rows"] == 12
    assert "synthetic" in run("data describe made").out
    assert run("data import made --out copy").status == 0
    assert load_dataset(here / "copy").fingerprint() == load_dataset(here / "made").fingerprint()


def test_nothing_is_written_over_a_dataset(run, here):
    assert run("data synthetic --out made --train 4 --valid 2 --test 2").status == 0
    before = (here / "made" / "train.npz").read_bytes()
    refused(run("data synthetic --out made --train 9 --valid 2 --test 2"), "made")
    refused(run("data import ../place/audio --out made"), "made")
    assert (here / "made" / "train.npz").read_bytes() == before


def test_what_is_repaired_is_one_line_of_warning(run, here):
    shutil.copytree("../place/audio", "mine")
    with np.load("mine/train.npz") as file:
        arrays = {name: file[name] for name in file.files}
    arrays["audio"][3, 0, 1] = np.nan
    np.savez("mine/train.npz", **arrays)
    done = run("data check mine")
    assert done.status == 0
    assert done.err.startswith("msa-jax: warning: ")
    assert "1 NaN or infinite values replaced by 0" in done.err
    assert done.err.count("\n") == 1


# -- listings ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_methods_are_listed_with_their_presets(run):
    listed = {one["name"]: one for one in json.loads(run("methods --json").out)}
    assert listed.keys() == METHODS.keys()
    assert "self_mm_mosi" in listed["self_mm"]["presets"]
    assert all(name in run("methods").out for name in METHODS)


def test_the_options_of_a_method_are_listed_in_both_protocols(run):
    options = json.loads(run("methods self_mm --json").out)
    assert options["paper"] == config.to_json(METHODS["self_mm"].options())
    assert options["reference"]["accumulate"] == 4
    assert "learning_rate.text" in run("methods self_mm").out


def test_the_version_is_printed(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"msa-jax {__version__}\n"


@pytest.mark.parametrize(
    "words", [[], ["train"], ["evaluate"], ["predict"], ["compare"], ["reproduce"], ["data"], ["methods"]]
)
def test_every_command_has_help(capsys, words):
    with pytest.raises(SystemExit) as stopped:
        main([*words, "--help"])
    assert stopped.value.code == 0
    assert "usage: msa-jax" in capsys.readouterr().out


def test_it_runs_as_a_module_and_ends_with_the_status():
    done = subprocess.run(
        [sys.executable, "-m", "msa_jax", "train", "nothing", "--data", "synthetic"],
        cwd=REPOSITORY, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("msa-jax: unknown method 'nothing'")
    assert done.stderr.count("\n") == 1


# -- what is wrong ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "arguments are required: COMMAND"),
        ("frobnicate", "invalid choice: 'frobnicate'"),
        ("train", "arguments are required: METHOD, --data"),
        ("train toy", "arguments are required: --data"),
        ("train toi --data ../place/audio", "unknown method 'toi'; did you mean toy"),
        ("train toy --data nowhere", "nowhere: no such file or folder, and no TFDS name"),
        ("train toi --data nowhere", "unknown method 'toi'"),  # two errors: the first of them, on one line
        ("train toy --data ../place/audio --batch-size", "option --batch-size needs a value"),
        ("train toy --data ../place/audio --batch-size 0", "option batch_size is 0; expected a positive number"),
        ("train toy --data ../place/audio --batch-size x", "option batch_size is 'x'; expected int"),
        ("train toy --data ../place/audio --batch-sise 4", "unknown option 'batch_sise'; did you mean batch_size"),
        ("train toy --data ../place/audio --batch-size 4 --batch-size 5", "option --batch-size is given twice"),
        ("train toy --data ../place/audio --learning-rate 1", "did you mean learning_rate."),
        ("train toy --data ../place/audio --learning-rate.text nan", "option learning_rate.text is 'nan'"),
        ("train toy --data ../place/audio --seeds x", "invalid int value: 'x'"),
        ("train toy --data ../place/audio --seeds 1 1", "seeds are 1, 1; expected distinct numbers"),
        ("train toy --data ../place/audio --seeds -4", "seeds are -4"),
        ("train toy --data ../place/audio --preset nothing", "no preset 'nothing'"),
        ("train toy --data ../place/audio --preset self_mm_mosi", "is for method self_mm, not toy"),
        ("train toy --data ../place/audio --protocol code", "invalid choice: 'code'"),
        ("train toy --data ../place/audio --selection Acc", "option selection is 'Acc'; expected one of loss"),
        ("train toy --data ../place/audio more", "unexpected argument 'more'"),
        ("train toy --data ../place/audio --out ../place/data/card.json", "card.json: cannot be written"),
        ("train toy --data ../place/audio --out ../place/data", "not empty and not an experiment"),
        ("train toy --data ../place/audio --out ../place/data --overwrite", "not an experiment"),
        ("train text_only --data ../place/audio", "method text_only needs text"),
        ("train self_mm --data ../place/audio --dropout.m 1.5", "option dropout.m is 1.5"),
        ("train self_mm --data ../place/audio --audio-hidden 0", "option audio_hidden is 0"),
        ("train self_mm --data ../place/audio --tasks t", "option tasks is t; expected m and any of t, a, v"),
        ("train text_only --data ../place/data --text-encoder ../place/data", "config.json"),
        ("evaluate nowhere", "nowhere: not an experiment"),
        ("evaluate ../place/data", "not an experiment"),
        ("evaluate ../place/run --data nowhere", "nowhere"),
        ("evaluate ../place/run --split all", "invalid choice: 'all'"),
        ("evaluate ../place/run --data ../place/audio", "raw_text is missing; this experiment was trained on it"),
        ("evaluate ../place/run --batch-size 3", "unknown argument --batch-size"),
        ("predict ../place/run", "one of --data, --texts, --text and --clip; found none"),
        ("predict ../place/run --data nowhere --out x.csv", "nowhere"),
        ("predict ../place/run --data ../place/data --out .", ": cannot be written"),
        ("predict ../place/run --data ../place/data --out ../place/data/card.json/x.csv", "x.csv: cannot be written"),
        ("compare nowhere", "nowhere"),
        ("compare ../place/data", "data"),
        ("reproduce", "reproduce needs a STUDY and --data D"),
        ("reproduce nothing --data ../place/audio", "no study 'nothing'"),
        ("data", "arguments are required: COMMAND"),
        ("data check nowhere", "nowhere"),
        ("data check ../place/data/card.json", "card.json"),
        ("data synthetic --out made --train 0", "train is 0"),
        ("data synthetic --out made --seed -1", "seed is -1"),
        ("data synthetic --out ../place/data/card.json/x", "cannot be written"),
        ("data import nowhere --out made", "nowhere"),
        ("data describe nowhere", "nowhere"),
        ("methods nothing", "unknown method 'nothing'"),
    ],
)
def test_what_is_wrong_is_one_line_and_status_2_and_leaves_nothing(run, here, line, message):
    refused(run(line), message)
    assert list(here.iterdir()) == []
    assert sorted(path.name for path in (here / "../place/data").iterdir()) == [
        "card.json", "test.npz", "train.npz", "valid.npz",
    ]  # fmt: skip


def damage(arrays: dict[str, np.ndarray], kind: str) -> dict[str, np.ndarray]:
    if kind == "NaN label":
        arrays["label"][5] = np.nan
    elif kind == "label out of range":
        arrays["label"][5] = 3.5
    elif kind == "id twice":
        arrays["id"][5] = arrays["id"][2]
    elif kind == "length beyond":
        arrays["audio_length"][5] = 99
    elif kind == "no labels":
        del arrays["label"]
    elif kind == "fewer rows":
        arrays["audio"] = arrays["audio"][:-1]
    return arrays


@pytest.mark.parametrize(
    ("kind", "messages"),
    [
        ("NaN label", ("split train", "column label", "row 5", "nan", "[-3, 3]")),
        ("label out of range", ("split train", "column label", "row 5", "3.5", "[-3, 3]")),
        ("id twice", ("split train", "column id", "row 5", "row 2")),
        ("length beyond", ("split train", "column audio_length", "row 5", "99", "1 to 6")),
        ("no labels", ("split train", "column label", "missing column")),
        ("fewer rows", ("split train", "column audio", "23 rows", "24")),
    ],
)
@pytest.mark.parametrize("line", ["data check mine", f"train toy --data mine --out run {TOY}"])
def test_wrong_data_are_named_by_split_column_and_row(run, here, kind, messages, line):
    shutil.copytree("../place/audio", "mine")
    with np.load("mine/train.npz") as file:
        arrays = {name: file[name] for name in file.files}
    np.savez("mine/train.npz", **damage(arrays, kind))
    refused(run(line), "mine", *messages)
    assert not (here / "run").exists()


def test_a_truncated_file_is_named(run, here):
    shutil.copytree("../place/audio", "mine")
    content = Path("mine/valid.npz").read_bytes()
    Path("mine/valid.npz").write_bytes(content[: len(content) // 2])
    refused(run("data check mine"), "valid.npz")


def test_an_interrupted_command_says_that_it_can_be_resumed(run, monkeypatch):
    def interrupted(*arguments, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr("msa_jax.train.experiment.train", interrupted)
    done = run("train toy --data synthetic")
    assert (done.status, done.out) == (130, "")
    assert "resumes from the last checkpoint" in done.err


def test_a_loss_that_is_not_finite_is_one_line(run, here):
    refused(
        run(f"train toy --data ../place/audio --seeds 8 --out mine --poison-epoch 2 --poison-step 5 {TOY}"),
        "run 8, epoch 2, step 2 of 4: loss term noise is not finite",
    )


def test_a_crash_is_not_hidden(monkeypatch):
    def broken(*arguments, **named):
        raise RuntimeError("a bug")

    monkeypatch.setattr("msa_jax.train.experiment.train", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        main(["train", "toy", "--data", "synthetic"])


def test_too_little_memory_is_one_line(run, monkeypatch):
    def full(*arguments, **named):
        np.empty(2**59)

    monkeypatch.setattr("msa_jax.data.load_dataset", full)
    refused(run("data check anything"), "not enough memory: Unable to allocate 4.00 EiB")


def test_a_device_with_too_little_memory_is_one_line(monkeypatch, capsys):
    def broken(*arguments, **named):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 7 bytes.\nof 5")

    monkeypatch.setattr("msa_jax.train.predictor.Predictor.load", broken)
    assert main(["predict", "run", "--text", "fine"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "msa-jax: the device has too little memory (RESOURCE_EXHAUSTED: Out of memory allocating 7 bytes.)"
    ]


# -- terminals and file names -----------------------------------------------------------------------------------------


def test_a_terminal_that_knows_ascii_alone_gets_the_table(place):
    words = [sys.executable, "-m", "msa_jax", "compare", str(place / "run")]
    done = subprocess.run(words, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}, timeout=120)
    assert done.returncode == 0, done.stderr
    assert b"mean ? sample standard deviation" in done.stdout


def test_work_goes_on_when_nobody_reads_what_is_said_of_it(tmp_path):
    (tmp_path / "texts.csv").write_text("text,label\na,1\nb,-1\nc,0\n")  # of which there are warnings
    words = [sys.executable, "-m", "msa_jax", "data", "import", "texts.csv", "--out", "made"]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=write, timeout=120)
    os.close(write)
    assert done.returncode == 0
    assert (tmp_path / "made" / "card.json").is_file()


def test_a_closed_standard_output_is_no_crash(place):
    words = f"{sys.executable} -m msa_jax data describe {place / 'audio'} >&-"
    done = subprocess.run(["sh", "-c", words], stderr=subprocess.PIPE, timeout=120)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_file_name_that_is_no_text_is_imported(place, tmp_path):
    source = tmp_path / os.fsdecode(b"mosi_\xff.pkl")
    write_mmsa(source)
    words = [sys.executable, "-m", "msa_jax", "data", "import", source, "--out", tmp_path / "new"]
    done = subprocess.run(words, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert read_native(tmp_path / "new").card.provenance.isprintable()


def test_control_characters_in_names_do_not_reach_the_terminal(run, tmp_path):
    path = tmp_path / "a\x1b]0;b\x07\x9b.jsonl"
    path.write_text("".join(f'{{"text": "x", "label": {n}, "\\u001b[2J": 1}}\n' for n in range(3)))
    done = run(f"data check '{path}'")
    assert done.status == 0
    wrong = run(f"data check '{path}\x1b[31m'")
    refused(wrong, "\\x07\\x9b.jsonl\\x1b[31m")
    assert "not used: \\x1b[2j" in done.err
    assert "a\\x1b]0;b\\x07\\x9b.jsonl: valid" in done.out
    assert not set(done.out + done.err + wrong.err) & set("\x07\x1b\x9b")
    assert card_text(tiny_dataset(name="\x1b[31mred")).startswith("name      \\x1b[31mred\n")
