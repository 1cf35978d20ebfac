"""Experiments: the folder, seeds, what selection may see, which data and options are accepted."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax import metrics
from msa_jax.csv_text import predictions_csv
from msa_jax.data.schema import Dataset
from msa_jax.errors import InputError
from msa_jax.report.experiment import read_predictions
from msa_jax.train import processes
from msa_jax.train.experiment import resume, train
from msa_jax.train.experiment_dir import locked
from msa_jax.train.predictor import Predictor
from msa_jax.train.prepare import FORMATS, settled_format
from tests.tiny import QUICK, TOY, TOY_QUICK, tiny_dataset, train_quick, train_toy
from tests.train.kit import AUDIO, Interrupting, csv_of, lines_of

pytestmark = pytest.mark.usefixtures("toy")


@pytest.fixture(scope="module")
def finished(toy, tmp_path_factory):
    return train_toy(tmp_path_factory.mktemp("finished") / "run", AUDIO, seeds=(1, 2))


# -- the folder -------------------------------------------------------------------------------------------------------


def test_the_folder_holds_what_the_interface_promises(finished):
    names = {path.name for path in finished.path.iterdir() if not path.name.startswith(".")}
    assert names >= {"config.json", "environment.json", "metrics.jsonl", "result.json", "predictions", "checkpoints"}
    result = json.loads((finished.path / "result.json").read_text())
    assert {"method", "dataset", "runs", "mean", "std", "seconds"} <= result.keys()
    assert 50 < result["process"]["peak_memory_mb"] < 1e6
    assert 0 <= result["process"]["compile_seconds"] < 600
    assert (result["method"], result["dataset"]) == ("toy", "tiny")
    for run in result["runs"]:
        assert {"seed", "hyperparameters", "best_epoch", "valid", "test"} <= run.keys()
        assert run["hyperparameters"]["batch_size"] == 7
        assert set(run["valid"]) == set(run["test"]) == set(metrics.METRIC_KEYS["mosi"])
    for line in lines_of(finished.path):
        assert line.keys() == {"run", "seed", "epoch", "train", "weights", "valid", "seconds"}


def test_the_experiment_that_is_returned_is_the_one_in_the_folder(finished):
    result = json.loads((finished.path / "result.json").read_text())
    assert [run["seed"] for run in result["runs"]] == [run.seed for run in finished.runs] == [1, 2]
    assert [run["test"] for run in result["runs"]] == [run.test for run in finished.runs]
    assert (result["mean"], result["std"]) == (finished.mean, finished.std)


def test_mean_and_sample_deviation_are_over_the_runs(finished):
    values = [run.test["MAE"] for run in finished.runs]
    assert finished.mean["MAE"] == pytest.approx(np.mean(values))
    assert finished.std["MAE"] == pytest.approx(np.std(values, ddof=1))


def test_predictions_have_ids_labels_and_one_column_for_each_run_and_head_in_order(finished):
    for split in ("valid", "test"):
        part = AUDIO.splits()[split]
        header, columns = csv_of(finished.path, split)
        assert header == ["id", "label", "1/prediction", "2/prediction"]
        assert columns["id"] == part.id.tolist()
        assert np.array(columns["label"], np.float32).tolist() == part.label.tolist()


def test_the_metrics_are_those_of_the_predictions(finished):
    for split in ("valid", "test"):
        _, columns = csv_of(finished.path, split)
        for run in finished.runs:
            scores = np.array(columns[f"{run.seed}/prediction"], np.float32)
            again = metrics.evaluate(scores, AUDIO.splits()[split].label, kind="mosi")
            assert again == pytest.approx(getattr(run, split), abs=1e-12)


def test_predictions_keep_all_digits_and_odd_ids():
    ids = np.array(['a,b"c', "näh", "$_$1"])
    scores = np.float32([1 / 3, -1e-8, 3])
    text = predictions_csv(ids, np.float32([0.1, 0, 1]), {"1": {"prediction": scores}})
    rows = list(csv.reader(text.splitlines()))[1:]
    assert [row[0] for row in rows] == ids.tolist()
    assert np.array([row[2] for row in rows], np.float32).tolist() == scores.tolist()


def test_the_text_stands_beside_the_scores_if_that_is_asked_for_and_stays_when_training_goes_on(tmp_path):
    dataset = tiny_dataset(modalities=("text", "audio"))
    path = train_toy(tmp_path / "run", dataset, seeds=(1,), options={"max_epochs": 1}, with_text=True).path
    resume(path, max_epochs=2, data=dataset, log=None)
    for split in ("valid", "test"):
        header, columns = csv_of(path, split)
        assert header == ["id", "label", "text", "1/prediction"]
        assert columns["text"] == dataset.splits()[split].raw_text.tolist()
        ids, label, heads = read_predictions(path, split)
        assert (ids.tolist(), list(heads)) == (columns["id"], ["1/prediction"])
        assert label.tolist() == dataset.splits()[split].label.tolist()
        assert heads["1/prediction"].tolist() == np.array(columns["1/prediction"], np.float32).tolist()


def test_a_text_of_any_length_stands_beside_the_scores(tmp_path):
    scores = {"1": {"prediction": np.float32([1, 2])}}
    text = predictions_csv(np.array(["a", "b"]), np.float32([1, 2]), scores, text=np.array(["a" * 200_000, "b"]))
    (tmp_path / "predictions").mkdir()
    (tmp_path / "predictions" / "test.csv").write_text(text)
    assert read_predictions(tmp_path, "test")[0].tolist() == ["a", "b"]


def test_text_that_is_not_there_is_missed_before_anything_is_written(tmp_path):
    with pytest.raises(InputError, match="no column raw_text, so no text can be written"):
        train_toy(tmp_path / "run", AUDIO, with_text=True)
    assert not (tmp_path / "run").exists()


def test_labels_are_recorded_once_an_epoch_where_that_is_asked_for(tmp_path, finished):
    experiment = train_toy(tmp_path / "run", AUDIO, seeds=(1,), options={"max_epochs": 2}, record_labels=True)
    folder = experiment.path / "labels" / "1"
    assert sorted(path.name for path in folder.iterdir()) == [f"epoch_{epoch:04d}.npz" for epoch in (1, 2)]
    with np.load(folder / "epoch_0002.npz") as last, np.load(experiment.path / "labels" / "1.npz") as final:
        np.testing.assert_array_equal(final["last"], last["last"])
        assert final["id"].tolist() == AUDIO.train.id.tolist()
        np.testing.assert_array_equal(final["label"], AUDIO.train.label)
        with open(experiment.path / "labels" / "1.csv", newline="") as file:
            header, *rows = csv.reader(file)
        assert header == ["id", "label", "last"]
        assert [row[0] for row in rows] == AUDIO.train.id.tolist()
        np.testing.assert_array_equal(np.array([row[2] for row in rows], np.float32), final["last"])
    files = {path.name for path in (finished.path / "labels").iterdir()}
    assert files == {"1.npz", "2.npz", "1.csv", "2.csv"}  # those of every epoch were not asked for
    # The deviation of one run is null.
    assert experiment.std["MAE"] is None
    assert json.loads((experiment.path / "result.json").read_text())["std"]["MAE"] is None


# -- seeds ------------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bits_whatever_other_seeds_there_are(tmp_path, finished):
    others = train_toy(tmp_path / "others", AUDIO, seeds=(2, 2**32 - 1))
    columns = [csv_of(each.path, "test")[1]["2/prediction"] for each in (finished, others)]
    assert columns[0] == columns[1]
    assert others.runs[0].test == finished.runs[1].test
    assert others.runs[1].seed == 2**32 - 1


def test_different_seeds_give_different_runs(finished):
    _, columns = csv_of(finished.path, "test")
    assert columns["1/prediction"] != columns["2/prediction"]


def test_seeds_that_are_refused_leave_nothing_behind(tmp_path):
    with pytest.raises(InputError, match="seeds are"):
        train_toy(tmp_path / "run", AUDIO, seeds=(1, 1))
    assert not (tmp_path / "run").exists()


# -- what selection may see -------------------------------------------------------------------------------------------


def with_labels(dataset: Dataset, split: str, label: np.ndarray) -> Dataset:
    return replace(dataset, **{split: replace(dataset.splits()[split], label=label.astype(np.float32))})


def test_test_labels_change_nothing_but_test_metrics(tmp_path, finished):
    turned = with_labels(AUDIO, "test", -AUDIO.test.label[::-1])
    other = train_toy(tmp_path / "run", turned, seeds=(1, 2))
    assert [run.best_epoch for run in other.runs] == [run.best_epoch for run in finished.runs]
    assert [run.valid for run in other.runs] == [run.valid for run in finished.runs]
    assert [run.test for run in other.runs] != [run.test for run in finished.runs]
    for name in ("1/prediction", "2/prediction"):
        assert csv_of(other.path, "test")[1][name] == csv_of(finished.path, "test")[1][name]
    assert (other.path / "predictions" / "valid.csv").read_bytes() == (
        finished.path / "predictions" / "valid.csv"
    ).read_bytes()


def test_valid_labels_are_what_is_selected_on(tmp_path, finished):
    other = train_toy(tmp_path / "run", with_labels(AUDIO, "valid", -AUDIO.valid.label), seeds=(1, 2))
    assert [run.best_epoch for run in other.runs] != [run.best_epoch for run in finished.runs]


# -- folders that are refused -----------------------------------------------------------------------------------------


def test_a_finished_experiment_is_not_touched(finished):
    before = (finished.path / "result.json").read_bytes()
    with pytest.raises(InputError, match="this experiment is finished; choose another --out, or --overwrite"):
        train_toy(finished.path, AUDIO, seeds=(1, 2))
    assert (finished.path / "result.json").read_bytes() == before


def test_a_folder_of_other_things_is_refused_with_and_without_overwrite(tmp_path):
    (tmp_path / "thesis.txt").write_text("")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="not an experiment"):
            train_toy(tmp_path, AUDIO, overwrite=overwrite)
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(InputError, match="run: cannot be written"):
        train_toy(tmp_path / "run", AUDIO)
    assert (tmp_path / "run").read_text() == "mine"


def test_a_folder_that_another_process_writes_is_refused(tmp_path):
    with locked(tmp_path / "run"), pytest.raises(InputError, match="another process is writing"):
        train_toy(tmp_path / "run", AUDIO)


# -- what is wrong is said before anything is written -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("toy", {"selection": "Acc7"}, "option selection is 'Acc7'; expected one of loss, mse, Has0_acc_2"),
        ("toy", {"selection": "Mult_acc_3"}, "option selection"),  # of SIMS, and this is MOSI
        ("toy", {"batch_sise": 3}, "unknown option 'batch_sise'; did you mean batch_size"),
        ("toy", {"accumulate": 5, "tail": "drop"}, "an epoch has 4 mini-batches .* nothing would be trained"),
        ("toy", {"dropout": 1.5}, "dropout rate is 1.5"),
        ("toy", {"stages_from": "runs/other"}, "method toy trains in one stage, so it takes none from others"),
        ("toi", {}, "unknown method 'toi'; did you mean toy"),
        ("text_only", {}, "method text_only needs text"),
        ("self_mm", {"unimodal_labels": "human"}, "has no label_a"),
    ],
)
def test_a_wrong_option_leaves_nothing_behind(tmp_path, method, options, message):
    with pytest.raises(InputError, match=message):
        train(
            method,
            AUDIO,
            seeds=(1,),
            out=tmp_path / "run",
            preset="none",
            log=None,
            options={"batch_size": 7, **options},
        )
    assert list(tmp_path.iterdir()) == []


def test_text_features_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(InputError, match="text_encoder is features, but the dataset has no precomputed text features"):
        train_quick("text_only", tiny_dataset(), tmp_path / "run", options={"text_encoder": "features"})
    with pytest.raises(InputError, match="precomputed features only; use --text-encoder features"):
        train_quick("text_only", tiny_dataset(text="text"), tmp_path / "run")


# -- modalities and label ranges --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "modalities",
    [("text",), *(pytest.param(names, marks=pytest.mark.slow) for names in (("audio",), ("audio", "vision")))],
)
def test_self_mm_trains_on_the_modalities_there_are(tmp_path, modalities):
    dataset = tiny_dataset(modalities=modalities, text="text", label_range=(-1.0, 1.0), metrics="sims")
    experiment = train_quick(
        "self_mm", dataset, tmp_path / "run", options={"text_encoder": "features", "max_epochs": 4}
    )
    heads = list(csv_of(experiment.path, "test")[0])[2:]
    assert heads == ["1/prediction", *(f"1/{name}" for name in modalities)]
    assert set(experiment.mean) == set(metrics.METRIC_KEYS["sims"])
    with np.load(experiment.path / "labels" / "1.npz") as file:
        labels = {name: file[name] for name in file.files if name.startswith("label_")}
    assert set(labels) == {f"label_{name[0]}" for name in modalities}
    for values in labels.values():
        assert np.abs(values).max() <= 1.0  # the label range of this dataset, not 3
        assert not np.array_equal(values, dataset.train.label)  # from epoch 2 they move


@pytest.mark.slow
def test_self_mm_trains_on_one_row_in_batches_of_one(tmp_path):
    dataset = tiny_dataset(rows=(1, 1, 1), modalities=("text", "audio"), text="text")
    options = {"text_encoder": "features", "batch_size": 1}
    experiment = train_quick("self_mm", dataset, tmp_path / "run", options=options)
    assert np.isfinite(experiment.runs[0].scores["test"]["prediction"]).all()
    assert np.isfinite(experiment.runs[0].test["MAE"])


@pytest.mark.slow
def test_options_of_the_machine_change_no_result(tmp_path):
    plain = train_quick("text_only", tiny_dataset(), tmp_path / "plain")
    options = {"evaluation_batch_size": 3, "checkpoint_epochs": 1}
    other = train_quick("text_only", tiny_dataset(), tmp_path / "other", options=options)
    for split in ("valid", "test"):
        scores = [each.runs[0].scores[split]["prediction"] for each in (plain, other)]
        np.testing.assert_allclose(*scores, atol=1e-5)


def test_the_options_of_an_experiment_are_in_its_folder(finished):
    content = json.loads((finished.path / "config.json").read_text())
    assert content["method"] == "toy"
    assert content["seeds"] == [1, 2]
    assert content["options"]["max_epochs"] == 4
    assert set(QUICK) - {"dropout"} <= set(content["options"])
    environment = json.loads((finished.path / "environment.json").read_text())
    assert environment["dataset_sha256"] == AUDIO.fingerprint()


# -- the number format ------------------------------------------------------------------------------------------------


def test_an_experiment_stays_in_the_number_format_in_which_it_began(tmp_path, monkeypatch):
    options, path = {**TOY_QUICK, "checkpoint_epochs": 1}, tmp_path / "run"
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    with pytest.raises(KeyboardInterrupt):
        train("toy", AUDIO, seeds=(1,), out=path, log=Interrupting(2), options=options)
    monkeypatch.undo()
    content = json.loads((path / "config.json").read_text())
    assert (content["options"]["precision"], content["precision"]) == ("auto", "bfloat16")
    told = io.StringIO()
    train("toy", AUDIO, seeds=(1,), out=path, log=told, options=options)
    assert ", in bfloat16\n" in told.getvalue()
    assert json.loads((path / "result.json").read_text())["runs"][0]["hyperparameters"]["precision"] == "bfloat16"
    assert Predictor.load(path).forward.model.dtype == jnp.bfloat16
    resume(path, max_epochs=5, data=AUDIO, log=None)
    assert json.loads((path / "config.json").read_text())["precision"] == "bfloat16"
    train("toy", AUDIO, seeds=(1,), out=path, log=None, overwrite=True, options=options)
    assert json.loads((path / "config.json").read_text())["precision"] == "float32"


def test_an_experiment_of_a_version_that_did_not_write_the_number_format_goes_on(tmp_path):
    options = {**TOY_QUICK, "checkpoint_epochs": 1}
    with pytest.raises(KeyboardInterrupt):
        train("toy", AUDIO, seeds=(1,), out=tmp_path / "run", log=Interrupting(2), options=options)
    path = tmp_path / "run" / "config.json"
    content = json.loads(path.read_text())
    del content["precision"]
    path.write_text(json.dumps(content))
    done = train("toy", AUDIO, seeds=(1,), out=tmp_path / "run", log=None, options=options)
    assert json.loads(path.read_text()).get("precision") is None
    assert Predictor.load(done.path).forward.model.dtype == jnp.float32


def test_all_processes_take_the_number_format_that_the_first_one_finds(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text('{"precision": "bfloat16"}')
    (tmp_path / "other.json").write_text('{"precision": [7]}')
    options = TOY.options()
    assert settled_format(options, tmp_path / "config.json") == "bfloat16"
    assert settled_format(options, tmp_path / "other.json") is None
    assert settled_format(options, tmp_path / "none.json") == "float32"
    assert settled_format(TOY.options(precision="float32"), tmp_path / "config.json") is None
    monkeypatch.setattr(processes, "is_primary", lambda: False)
    monkeypatch.setattr(Path, "is_file", lambda path: False)  # as a disk may look from another machine
    monkeypatch.setattr(processes, "of_primary", lambda own: np.int32(FORMATS.index("bfloat16")))
    assert settled_format(options, tmp_path / "config.json") == "bfloat16"


# -- the end ----------------------------------------------------------------------------------------------------------


class Closing:
    """Sees what is there when it is closed."""

    measures = False

    def __init__(self, folder: Path, waiting: list[bool]):
        self._folder, self._waiting = folder, waiting
        self.seen: list[tuple[bool, bool]] = []

    def begin(self, run, epoch):
        pass

    def epoch(self, records):
        pass

    def close(self):
        self.seen.append(((self._folder / "result.json").is_file(), bool(self._waiting)))


def test_trackers_are_closed_when_all_is_written_and_while_the_other_processes_wait(tmp_path, monkeypatch):
    waiting, original = [], processes.run_on_primary

    def run_on_primary(action):
        waiting.append(True)
        original(action)
        waiting.pop()

    monkeypatch.setattr(processes, "run_on_primary", run_on_primary)
    tracker = Closing(tmp_path / "run", waiting)
    train_toy(tmp_path / "run", AUDIO, options={"max_epochs": 1}, trackers=[tracker])
    assert tracker.seen == [(True, True)]


# -- datasets that somebody made --------------------------------------------------------------------------------------


def test_a_split_is_no_dataset(tmp_path):
    with pytest.raises(InputError, match="a Dataset is trained on; found one Split of it"):
        train_toy(tmp_path / "run", AUDIO.test)  # pyright: ignore[reportArgumentType]
    assert not (tmp_path / "run").exists()


def test_a_dataset_with_wrong_columns_is_refused_before_anything_is_written(tmp_path):
    audio = AUDIO.valid.audio.copy()
    audio[2, 1] = np.nan
    for change, message in (
        ({"audio": audio}, "split valid, column audio, row 2: 3 NaN or infinite values"),
        ({"label": None}, "split valid, column label, row 0.*: nan; expected a number in label_range"),
        ({"label": AUDIO.valid.label + 9}, "split valid, column label, row .*; expected a number in label_range"),
        ({"audio": AUDIO.valid.audio[:3]}, "split valid, column audio: 3 rows; expected 8"),
    ):
        with pytest.raises(InputError, match=message):
            train_toy(tmp_path / "run", replace(AUDIO, valid=replace(AUDIO.valid, **change)))
    for change, message in (
        ({"card": replace(AUDIO.card, metrics="mosi", label_range=(-5.0, 5.0))}, "metrics mosi are for labels on both"),
        ({"card": replace(AUDIO.card, metrics="nope")}, "metrics of the card is 'nope', expected one of mosi"),
        ({"valid": replace(AUDIO.valid, id=["a", "b", "a", *AUDIO.valid.id[3:]])}, "row 2 .*the id of row 0 again"),
        ({"valid": replace(AUDIO.valid, id=AUDIO.train.id[: len(AUDIO.valid)])}, "an id that split train has in row 0"),
        ({"test": replace(AUDIO.test, audio=AUDIO.test.audio[:, :, :1])}, "split test, column audio: feature size 1"),
    ):
        with pytest.raises(InputError, match=message):
            train_toy(tmp_path / "run", replace(AUDIO, **change))
    assert not (tmp_path / "run").exists()
