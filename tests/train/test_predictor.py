"""Using a finished experiment on data: the same scores, in any order and batch size, and clear errors for what does not fit."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from msa_jax.data.schema import Split
from msa_jax.errors import InputError
from msa_jax.train.predictor import Predictor
from tests.tiny import tiny_dataset, train_quick, train_toy

DATASET = tiny_dataset()


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """Self-MM on text, audio and vision, two seeds."""
    return train_quick("self_mm", DATASET, tmp_path_factory.mktemp("predictor") / "run", seeds=(1, 2)).path


@pytest.fixture(scope="module")
def predictor(finished) -> Predictor:
    return Predictor.load(finished)


@pytest.fixture(scope="module")
def scores(predictor) -> dict[int, dict[str, np.ndarray]]:
    return predictor.predict_runs(DATASET.test)


def test_predictions_equal_those_that_training_wrote(finished, scores):
    with open(finished / "predictions" / "test.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for seed in (1, 2):
        for head in ("prediction", "text", "audio", "vision"):
            written = np.array([row[f"{seed}/{head}"] for row in rows], np.float32)
            np.testing.assert_allclose(scores[seed][head], written, atol=1e-6)
            assert written.std() > 0


def test_predict_is_the_mean_over_the_runs(predictor, scores):
    want = (scores[1]["prediction"].astype(np.float64) + scores[2]["prediction"]) / 2
    got = predictor.predict(DATASET.test)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, atol=1e-6)
    assert not np.array_equal(scores[1]["prediction"], scores[2]["prediction"])


def only_run(predictor: Predictor, **changes) -> Predictor:
    return replace(predictor, params={1: predictor.params[1]}, **changes)


def test_the_order_of_the_rows_does_not_matter(predictor, scores):
    order = np.random.default_rng(0).permutation(len(DATASET.test))
    got = only_run(predictor).predict(DATASET.test.take(order))
    np.testing.assert_allclose(got, scores[1]["prediction"][order], atol=1e-5)


def test_the_batch_size_of_evaluation_does_not_matter(predictor, scores):
    smaller = only_run(predictor, options=replace(predictor.options, evaluation_batch_size=3))
    np.testing.assert_allclose(smaller.predict(DATASET.test), scores[1]["prediction"], atol=1e-5)


def longer(split: Split) -> Split:
    """Twice the steps in audio and vision, a sentence beyond max_tokens."""
    text = split.raw_text.astype("<U200")
    text[0] = " ".join([text[0]] * 10)
    return replace(
        split,
        raw_text=text,
        audio=np.concatenate([split.audio, split.audio], axis=1),
        audio_length=np.where(np.arange(len(split)) == 1, 12, split.audio_length).astype(np.int32),
        vision=np.concatenate([split.vision, np.zeros_like(split.vision)], axis=1),
    )


def test_longer_sequences_than_in_training_are_accepted_and_change_no_other_row(predictor, scores):
    got = only_run(predictor).predict(longer(DATASET.test))
    assert np.isfinite(got).all()
    np.testing.assert_allclose(got[2:], scores[1]["prediction"][2:], atol=1e-5)
    assert not np.isclose(got[1], scores[1]["prediction"][1], atol=1e-6)


def test_labels_are_not_needed(predictor, scores):
    split = replace(DATASET.test, label=np.full(len(DATASET.test), 99.0, np.float32))
    np.testing.assert_allclose(only_run(predictor).predict(split), scores[1]["prediction"], atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"audio": None, "audio_length": None}, "audio is missing; this experiment was trained with it"),
        ({"raw_text": None}, "column raw_text is missing"),
        ({"vision": DATASET.test.vision[:, :, :2]}, "vision has 2 features; expected 4"),
    ],
)
def test_data_that_do_not_fit_are_an_input_error(predictor, change, message):
    with pytest.raises(InputError, match=message):
        predictor.predict(replace(DATASET.test, **change))


def test_an_empty_split_is_an_input_error(predictor):
    with pytest.raises(InputError, match="the split is empty"):
        predictor.predict(DATASET.test.take([]))


# -- folders that are not what they should be -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(toy, tmp_path_factory) -> Path:
    dataset = tiny_dataset(modalities=("audio",))
    return train_toy(tmp_path_factory.mktemp("small") / "run", dataset, options={"max_epochs": 1}).path


@pytest.fixture
def copied(small, tmp_path) -> Path:
    return Path(shutil.copytree(small, tmp_path / "run"))


def test_a_moved_experiment_predicts_the_same(small, copied):
    split = tiny_dataset(modalities=("audio",)).test
    np.testing.assert_array_equal(Predictor.load(copied).predict(split), Predictor.load(small).predict(split))


def test_what_is_no_experiment_or_not_finished_is_an_input_error(copied, tmp_path):
    with pytest.raises(InputError, match="not an experiment"):
        Predictor.load(tmp_path)
    (copied / "result.json").unlink()
    with pytest.raises(InputError, match="not finished; repeat its `msa-jax train` command"):
        Predictor.load(copied)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"method": "toy"}', '{"method": "nothing"}'])
def test_a_damaged_configuration_is_an_input_error(copied, content):
    (copied / "config.json").write_text(content)
    with pytest.raises(InputError):
        Predictor.load(copied)


def params_file(folder: Path) -> Path:
    """The largest file of the parameters."""
    return max(
        (folder / "checkpoints" / "1" / "params").rglob("*"), key=lambda path: path.is_file() * path.stat().st_size
    )


@pytest.mark.parametrize("damage", ["truncated", "one bit", "removed"])
def test_damaged_parameters_are_an_input_error(copied, damage):
    path = params_file(copied)
    content = bytearray(path.read_bytes())
    if damage == "removed":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"params/.*: (missing|not the file that was written)"):
        Predictor.load(copied)


def test_missing_parameters_are_an_input_error(copied):
    shutil.rmtree(copied / "checkpoints")
    with pytest.raises(InputError, match="no such checkpoint"):
        Predictor.load(copied)


def test_parameters_of_another_method_are_an_input_error(copied, finished):
    shutil.rmtree(copied / "checkpoints")
    shutil.copytree(finished / "checkpoints", copied / "checkpoints")
    with pytest.raises(InputError, match="the parameters of run 1 are not those of method toy"):
        Predictor.load(copied).predict(tiny_dataset(modalities=("audio",)).test)


def test_a_configuration_of_another_method_is_an_input_error(copied):
    content = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps({**content, "method": "text_only"}))
    with pytest.raises(InputError, match="unknown option 'poison_epoch'"):
        Predictor.load(copied)
