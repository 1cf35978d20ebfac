"""Trackers: each epoch once whatever was interrupted, one sentence where something cannot be written, and nothing changes."""

import csv
import math
import sys
import types

import numpy as np
import pytest

from msa_jax import config, methods
from msa_jax.cli import main
from msa_jax.data import write_native
from msa_jax.errors import InputError
from msa_jax.train import progress, trackers
from msa_jax.train.experiment import resume, train
from msa_jax.train.experiment_dir import MetricsFile, Run
from msa_jax.train.trackers import TensorBoard
from tests.tiny import TOY_QUICK, train_toy
from tests.train.kit import AUDIO, Interrupting, kept_params, lines_of, outcome
from tests.train.test_event_file import events

pytestmark = pytest.mark.usefixtures("toy")
OPTIONS = {"checkpoint_epochs": 1, "runs_per_program": 1, "schedule": "linear", "warmup": 0.3}


def rows_of(folder):
    """metrics.csv as metrics.jsonl has it, without the inner objects."""
    with open(folder / "metrics.csv", newline="", encoding="utf-8") as file:
        return [{name: value for name, value in row.items() if value} for row in csv.DictReader(file)]


def steps_of(folder, seed):
    """{step: {tag: value}} of a run's event file, each step once."""
    found = events((folder / "tensorboard" / str(seed) / f"events.out.tfevents.{seed}").read_bytes())
    assert found[0][1] == b"brain.Event:2"
    assert len(dict(found[1:])) == len(found[1:])
    return dict(found[1:])


@pytest.fixture(scope="module")
def straight(toy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trackers") / "run"
    train_toy(folder, AUDIO, seeds=(3, 4), options=OPTIONS, trackers=("csv", "tensorboard"))
    return folder


def test_all_say_the_same(straight):
    lines, rows = lines_of(straight), rows_of(straight)
    assert len(rows) == len(lines) == 8
    for line, row in zip(lines, rows, strict=True):
        want = {name: str(value) for name, value in trackers.flat(line).items() if value is not None}
        assert row == want
        logged = steps_of(straight, line["seed"])[line["epoch"]]
        assert logged["train/loss"] == pytest.approx(line["train"]["loss"], rel=1e-6)
        assert logged["valid/MAE"] == pytest.approx(line["valid"]["MAE"], rel=1e-6)
        assert logged["records/last"][3] == len(AUDIO.train)


@pytest.mark.slow
def test_learning_rates_and_norms_are_those_of_training(straight, tmp_path):
    logged = steps_of(straight, 3)
    options = config.override(methods.get("toy").options(), {**TOY_QUICK, **OPTIONS})
    updates = math.ceil(len(AUDIO.train) / options.batch_size)
    rise = round(0.3 * 4 * updates)
    for epoch, values in logged.items():
        last = epoch * updates - 1  # the number of the epoch's last update, from 0
        factor = (last + 1) / rise if last < rise else 1 - (last - rise) / (4 * updates - rise)
        assert values["learning_rate/audio"] == pytest.approx(0.02 * factor, rel=0.02)
    train_toy(tmp_path / "one", AUDIO, seeds=(3,), options={**OPTIONS, "max_epochs": 1, "schedule": "constant"})
    # Best after its only epoch: the parameters that are kept are those whose norm was logged.
    train_toy(
        tmp_path / "logged", AUDIO, seeds=(3,), trackers=("tensorboard",),
        options={**OPTIONS, "max_epochs": 1, "schedule": "constant"},
    )  # fmt: skip
    params = kept_params(tmp_path / "one", 3)
    norm = math.sqrt(sum(float((np.asarray(value, np.float64) ** 2).sum()) for value in params.values()))
    values = steps_of(tmp_path / "logged", 3)[1]
    assert values["norm/parameters"] == pytest.approx(norm, rel=1e-5)
    assert 0 < values["norm/moved"] < norm
    assert values["norm/mean_gradient"] > 0


@pytest.mark.slow
def test_nothing_of_the_result_depends_on_them(straight, tmp_path):
    train_toy(tmp_path / "bare", AUDIO, seeds=(3, 4), options=OPTIONS, trackers=())
    assert outcome(tmp_path / "bare") == outcome(straight)
    assert not (tmp_path / "bare" / "metrics.csv").exists()


@pytest.mark.slow
@pytest.mark.parametrize("at", [[1, 3], pytest.param([6], marks=pytest.mark.slow)], ids=str)
def test_a_resumed_experiment_has_each_epoch_once(straight, tmp_path, at):
    folder, seen = tmp_path / "run", []

    def begin(log):
        named = {
            "trackers": ("csv", "tensorboard"),
            "on_epoch": lambda line: seen.append((line["seed"], line["epoch"])),
        }
        train("toy", AUDIO, seeds=(3, 4), out=folder, log=log, options={**TOY_QUICK, **OPTIONS}, **named)

    for epochs in at:
        with pytest.raises(KeyboardInterrupt):
            begin(Interrupting(epochs))
        seed = 3 if epochs < 5 else 4  # the one that is not finished
        with open(folder / "tensorboard" / f"{seed}" / f"events.out.tfevents.{seed}", "ab") as file:
            file.write(b"half a record")
        with open(folder / "metrics.csv", "a") as file:
            file.write("half a li")
    begin(None)
    without_time = [[{**row, "seconds": "0"} for row in rows_of(one)] for one in (folder, straight)]
    assert without_time[0] == without_time[1]
    for seed in (3, 4):
        mine, theirs = steps_of(folder, seed), steps_of(straight, seed)
        assert mine.keys() == theirs.keys()
        timed = ("seconds", "steps_per_second")
        for step in mine:
            assert {k: v for k, v in mine[step].items() if k not in timed} == {
                k: v for k, v in theirs[step].items() if k not in timed
            }
    assert set(seen) == {(seed, epoch) for seed in (3, 4) for epoch in (1, 2, 3, 4)}
    assert len(seen) <= 8 + len(at)  # only the epoch that was interrupted is trained again


@pytest.mark.slow
def test_columns_of_later_stages_are_added_and_more_epochs_too(tmp_path):
    train_toy(tmp_path / "run", AUDIO, options={**OPTIONS, "schedule": "constant", "warmup": 0.0, "stages": 2})
    rows = rows_of(tmp_path / "run")
    assert [row["stage"] for row in rows] == ["encoder"] * 3 + ["score"] * 4
    resume(tmp_path / "run", max_epochs=5, data=AUDIO, log=None, trackers=("csv",))
    assert [int(row["epoch"]) for row in rows_of(tmp_path / "run")] == list(range(1, 9))


@pytest.mark.slow
def test_what_a_callback_raises_stops_training_and_the_same_call_resumes(straight, tmp_path):
    def stop(line):
        if line["epoch"] == 2:
            line["train"].clear()  # a copy
            raise ValueError("enough")

    named = {"seeds": (3, 4), "options": OPTIONS}
    with pytest.raises(ValueError, match="enough"):
        train_toy(tmp_path / "run", AUDIO, on_epoch=stop, **named)
    train_toy(tmp_path / "run", AUDIO, **named)
    assert outcome(tmp_path / "run") == outcome(straight)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["metrics.csv", "tensorboard/3/events.out.tfevents.3"])
def test_a_full_disk_is_one_sentence_and_the_same_call_goes_on(straight, tmp_path, name):
    folder = tmp_path / "run"

    def fill(line):
        path = folder / name
        if line["epoch"] == 2 and not path.is_symlink():
            path.rename(tmp_path / "kept")
            path.symlink_to("/dev/full")

    named = {"seeds": (3, 4), "options": OPTIONS, "trackers": ("csv", "tensorboard")}
    with pytest.raises(InputError, match=rf"{name.split('/')[-1]}: cannot be written \(No space left on device\)"):
        train_toy(folder, AUDIO, on_epoch=fill, **named)
    (folder / name).unlink()
    (tmp_path / "kept").rename(folder / name)
    train_toy(folder, AUDIO, **named)
    assert outcome(folder) == outcome(straight)
    assert list(steps_of(folder, 3)) == [1, 2, 3, 4]
    assert len(rows_of(folder)) == 8


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["tensorbord"], "log 'tensorbord': did you mean tensorboard"),
        (["disk"], "log 'disk': expected some of csv, tensorboard, wandb"),
        (["csv", "csv"], "log names csv twice"),
        ("csv", "trackers is 'csv'; expected a list"),
        ([3], "trackers holds a int; expected measures, begin, epoch and close"),
    ],
)
def test_what_is_no_tracker_is_said_before_anything_is_written(given, message, tmp_path):
    with pytest.raises(InputError, match=message):
        train_toy(tmp_path / "run", AUDIO, trackers=given)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_command_takes_names(tmp_path, capsys):
    write_native(AUDIO, tmp_path / "data")
    options = [word for name, value in TOY_QUICK.items() for word in (f"--{name}", str(value))]
    line = ["train", "toy", "--data", str(tmp_path / "data"), "--seeds", "1", "--quiet", "--log"]
    assert main([*line, "none", "--out", str(tmp_path / "a"), *options]) == 0
    assert not (tmp_path / "a" / "metrics.csv").exists()
    assert main([*line, "tensorboard", "--out", str(tmp_path / "b"), *options]) == 0
    assert list(steps_of(tmp_path / "b", 1)) == [1, 2, 3, 4]
    capsys.readouterr()
    assert main([*line, "paper", "--out", str(tmp_path / "c"), *options]) == 2
    assert "msa-jax: log 'paper': expected some of" in capsys.readouterr().err


class FakeRun:
    def __init__(self, **named):
        self.named, self.logged, self.finished = named, [], False

    def log(self, values, step):
        self.logged.append((step, values))

    def finish(self):
        self.finished = True


@pytest.mark.slow
def test_wandb_gets_a_run_for_each_seed_which_goes_on_under_its_name(tmp_path, monkeypatch):
    made, fake = [], types.ModuleType("wandb")
    fake.__spec__ = object()
    fake.init = lambda **named: made.append(FakeRun(**named)) or made[-1]
    fake.Histogram = lambda values: ("histogram", len(values))
    monkeypatch.setitem(sys.modules, "wandb", fake)
    named = {"seeds": (3, 4), "options": OPTIONS, "trackers": ["wandb"]}
    with pytest.raises(KeyboardInterrupt):
        train("toy", AUDIO, out=tmp_path / "run", log=Interrupting(2), seeds=(3, 4), trackers=["wandb"],
              options={**TOY_QUICK, **OPTIONS})  # fmt: skip
    train_toy(tmp_path / "run", AUDIO, **named)
    first, again, second = made
    assert all(run.finished for run in made)
    assert first.named["id"] == again.named["id"] != second.named["id"]
    assert first.named["group"] == "run"
    assert again.named["config"]["seed"] == 3
    assert [step for step, _ in second.logged] == [1, 2, 3, 4]
    assert second.logged[0][1]["records/last"] == ("histogram", len(AUDIO.train))
    assert "learning_rate/audio" in second.logged[0][1]

    def refuse(**named):
        raise RuntimeError("no key\nsecond line")

    fake.init = refuse
    with pytest.raises(InputError, match=r"^wandb: cannot begin a run \(RuntimeError: no key\)$"):
        train_toy(tmp_path / "other", AUDIO, **named)


def test_wandb_ends_a_run_that_begins_again(tmp_path, monkeypatch):
    made, fake = [], types.ModuleType("wandb")
    fake.init = lambda **named: made.append(FakeRun(**named)) or made[-1]
    monkeypatch.setitem(sys.modules, "wandb", fake)
    tracker = trackers.WeightsAndBiases(tmp_path, {})
    for _ in range(2):
        tracker.begin(Run(number=0, seed=3, folder=tmp_path), 0)
    assert [run.finished for run in made] == [True, False]
    assert made[0].named["id"] == made[1].named["id"]


def test_wandb_that_is_not_installed_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(trackers.importlib.util, "find_spec", lambda name: None)
    train_toy(tmp_path / "run", AUDIO, options={"max_epochs": 1})
    with pytest.raises(InputError, match=r"pip install '\.\[wandb\]'"):
        train_toy(tmp_path / "run", AUDIO, trackers=["wandb"], overwrite=True)
    assert (tmp_path / "run" / "result.json").is_file()  # nothing was overwritten before it was said


@pytest.mark.parametrize("kind", ["csv", "tensorboard"])
def test_what_does_not_fit_on_the_disk_is_one_sentence(kind, tmp_path):
    run, line = (
        Run(number=0, seed=5, folder=tmp_path),
        {"run": 0, "seed": 5, "epoch": 1, "train": {"loss": 1.0}, "valid": {}},
    )
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    metrics.append(line)
    (tracker,) = trackers.made([kind], tmp_path, metrics, {})
    tracker.begin(run, 1)
    (path,) = (one for one in tmp_path.rglob("*") if one.name in ("metrics.csv", "events.out.tfevents.5"))
    path.unlink()
    path.symlink_to("/dev/full")
    with pytest.raises(InputError, match=rf"{path.name}: cannot be written \(No space left on device\)"):
        tracker.epoch([trackers.EpochRecord(run=run, line=line)])


def test_an_event_file_that_is_no_event_file_begins_anew(tmp_path):
    path = tmp_path / "5" / "events.out.tfevents.5"
    path.parent.mkdir()
    path.write_bytes(b"something else")
    TensorBoard(tmp_path).begin(Run(number=0, seed=5, folder=tmp_path), 3)
    assert events(path.read_bytes()) == [(0, b"brain.Event:2")]


class Terminal:
    def __init__(self):
        self.text = ""

    def isatty(self):
        return True

    def write(self, text):
        self.text += text

    def flush(self):
        pass


def test_the_bar_says_how_fast_it_goes_and_what_is_left(monkeypatch):
    clock = iter((100.0, 102.0, 104.0, 110.0))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    terminal = Terminal()
    shown = progress.Progress(terminal)
    for label, done in (("epoch 1", 10), ("epoch 1", 20), ("epoch 1", 30), ("epoch 2", 10)):
        shown.bar(label, done, 600)
    bars = [part.rstrip() for part in terminal.text.split("\r")[1:]]
    assert bars[0].endswith("] 10/600")
    assert bars[1].endswith("] 20/600  5.0/s  1:56 left")
    assert bars[2].endswith("] 30/600  5.0/s  1:54 left")
    assert bars[3].endswith("] 10/600")
