"""Modalities and steps that are dropped in training: nothing if off, the same after a kill, the same side by side."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

from msa_jax.config import override
from msa_jax.errors import DataWarning, InputError
from msa_jax.methods import METHODS
from msa_jax.testing.tiny import tiny_dataset
from msa_jax.train.predictor import Predictor
from msa_jax.train.prepare import prepare
from tests.tiny import TOY, ToyOptions
from tests.train.kit import Bench, interrupt_and_resume, kept_params, outcome, registered, toy_experiment
from tests.train.test_predictor import READER

DATASET = tiny_dataset(modalities=("text", "audio"))
BOTH = {"modality_dropout": 0.5, "step_dropout": 0.3}
OPTIONS = {"pack_text": False, "max_tokens": 12, "max_epochs": 3}


@pytest.fixture(scope="module", autouse=True)
def reader():
    """A method that reads text and audio."""
    with registered(READER) as method:
        yield method


@pytest.fixture(scope="module")
def straight(reader, tmp_path_factory):
    """An experiment of two seeds that nothing interrupted."""
    folder = tmp_path_factory.mktemp("dropped") / "run"
    toy_experiment(folder, DATASET, method="reader", **OPTIONS, **BOTH)(None)
    return folder


def test_a_step_draws_nothing_if_nothing_is_dropped(monkeypatch):
    def draw(*arguments, **named):
        raise AssertionError("drawn")

    monkeypatch.setattr("msa_jax.train.epoch.draw_missing", draw)
    Bench(TOY, tiny_dataset(modalities=("audio",)), {}).walk(stop=1)
    with pytest.raises(AssertionError, match="drawn"):
        Bench(TOY, tiny_dataset(modalities=("audio",)), {"step_dropout": 0.1}).walk(stop=1)


@pytest.mark.slow
def test_a_run_that_was_killed_draws_the_same(straight, tmp_path):
    begin = toy_experiment(tmp_path / "killed", DATASET, method="reader", **OPTIONS, **BOTH)
    assert interrupt_and_resume(tmp_path / "killed", [2], begin) == outcome(straight)


@pytest.mark.slow
def test_runs_side_by_side_draw_what_they_draw_alone(straight, tmp_path):
    toy_experiment(tmp_path / "run", DATASET, method="reader", **OPTIONS, **BOTH, runs_per_program=2)(None)
    for seed in (3, 4):
        for path, value in kept_params(straight, seed).items():
            np.testing.assert_allclose(kept_params(tmp_path / "run", seed)[path], value, atol=1e-5)


def test_a_modality_that_was_dropped_may_be_left_out_of_a_prediction(straight):
    predictor, test = Predictor.load(straight), DATASET.test
    assert predictor.options.modality_dropout == 0.5  # the folder says how it was trained
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what was learned is no warning
        without = predictor.predict(test, missing=("audio",))
    texts = test.raw_text.tolist()
    with pytest.warns(
        DataWarning, match="audio is missing: each sample has no frame as audio; the network has learned"
    ):
        np.testing.assert_array_equal(predictor.predict_texts(texts), without)
    with pytest.raises(InputError, match="column raw_text is missing"):  # its text is there, in another form
        predictor.predict(replace(test, raw_text=None, text=np.zeros((len(test), 3, 8), np.float32)))
    unlearned = replace(predictor, options=override(predictor.options, {"modality_dropout": 0.0}))
    with pytest.raises(InputError, match=r"audio is missing; .*--missing audio"):
        unlearned.predict_texts(texts)


@pytest.mark.parametrize("name", ["modality_dropout", "step_dropout"])
@pytest.mark.parametrize("value", [-0.1, 1.0, float("nan")])
def test_rates_are_probabilities_below_one(name, value):
    with pytest.raises(InputError, match=rf"option {name} is"):
        ToyOptions(**{name: value})


def test_what_cannot_be_dropped_is_an_input_error():
    with pytest.raises(InputError, match="the dataset has audio alone; expected two modalities"):
        prepare(tiny_dataset(modalities=("audio",)), TOY, ToyOptions(modality_dropout=0.3))


@pytest.mark.slow
def test_a_frozen_text_encoder_reads_what_is_left_in_every_step():
    method = METHODS["self_mm"]
    options = {"finetune_text": False, "scratch_layers": 1, "scratch_width": 32, "max_tokens": 12}
    for changes, kind in (({}, "features"), ({"modality_dropout": 0.2}, "ids"), ({"step_dropout": 0.2}, "ids")):
        assert kind in Bench(method, tiny_dataset(), {**options, **changes}).columns["text"]
