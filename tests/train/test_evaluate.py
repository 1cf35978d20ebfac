"""Scoring whole splits: every row once, in order, whatever the batch size, the padding and the packing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.config import override
from msa_jax.methods import METHODS
from msa_jax.methods.protocol import Clock, Phase
from msa_jax.train.compilation import compile_seconds, watch_compiler
from msa_jax.train.evaluate import Forward, Scorer, one_run
from msa_jax.train.model import Model
from msa_jax.train.prepare import prepare
from msa_jax.train.runs import ONE
from msa_jax.train.stage_inits import StageInits
from msa_jax.train.state import Best, stack
from tests.tiny import QUICK, TOY, tiny_dataset
from tests.train.kit import run_of, toy_experiment


def network_of(method, dataset, options):
    """The programs of its network, what a run begins with, and the columns of every split."""
    prepared = prepare(dataset, method, options)
    inits = StageInits(method, options, prepared)
    model = Model(method, options, prepared.inputs, jnp.dtype(jnp.float32))
    return Forward(model, ONE), inits.initial(run_of(0)).variables, prepared.columns


def predicted(scorer, variables, split) -> np.ndarray:
    return scorer.scores(one_run(variables), {}, split, ("prediction",), runs=1)["prediction"][0]


def by_hand(params, columns) -> np.ndarray:
    """The toy method's score, row by row, in float64."""
    audio, length = columns["audio"]["features"].astype(np.float64), columns["audio"]["length"]
    p = {path: np.asarray(value, np.float64) for path, value in params.items()}
    scores = []
    for row in range(len(audio)):
        mean = audio[row, : length[row]].sum(0) / length[row]
        hidden = np.tanh(mean @ p["audio_encoder/kernel"] + p["audio_encoder/bias"])
        scores.append((hidden @ p["score/kernel"] + p["score/bias"])[0])
    return np.array(scores)


@pytest.fixture(scope="module")
def audio():
    return network_of(TOY, tiny_dataset(modalities=("audio",), rows=(6, 5, 9)), TOY.options())


@pytest.mark.parametrize("size", [1, 4, 64])
def test_every_row_is_scored_in_its_place_and_without_dropout(audio, size):
    forward, variables, columns = audio
    options = TOY.options(evaluation_batch_size=size)
    scorer = Scorer(forward, {name: columns[name] for name in ("valid", "test")}, options)
    for name in ("valid", "test"):
        scores = predicted(scorer, variables, name)
        assert scores.shape == (len(columns[name]["label"]),)
        np.testing.assert_allclose(scores, by_hand(variables.params, columns[name]), atol=1e-6)


def test_a_split_of_one_row_is_scored(audio):
    forward, variables, columns = audio
    one = jax.tree.map(lambda column: column[:1], columns["test"])
    scores = predicted(Scorer(forward, {"test": one}, TOY.options()), variables, "test")
    np.testing.assert_allclose(scores, by_hand(variables.params, one), atol=1e-6)


def test_runs_side_by_side_are_scored_each_with_its_own_parameters(audio):
    forward, variables, columns = audio
    halved = {path: value / 2 for path, value in variables.params.items()}
    best = Best(stack([dict(variables.params), halved]), {})
    scores = Scorer(forward, {"test": columns["test"]}, TOY.options()).scores(best, {}, "test", ("prediction",), runs=2)
    for found, params in zip(scores["prediction"], (variables.params, halved), strict=True):
        np.testing.assert_allclose(found, by_hand(params, columns["test"]), atol=1e-6)


def test_splits_of_different_steps_are_padded_to_common_shapes(audio):
    forward, variables, columns = audio
    short = {**columns["valid"], "audio": {**columns["valid"]["audio"]}}
    short["audio"]["length"] = np.minimum(short["audio"]["length"], 2)
    frames = short["audio"]["features"][:, :2] * (np.arange(2) < short["audio"]["length"][:, None])[..., None]
    short["audio"]["features"] = frames
    scorer = Scorer(forward, {"valid": short, "test": columns["test"]}, TOY.options())
    for name, own in (("valid", short), ("test", columns["test"])):
        np.testing.assert_allclose(predicted(scorer, variables, name), by_hand(variables.params, own), atol=1e-6)


# -- loss terms -------------------------------------------------------------------------------------------------------


def _objective(step, options, inputs):
    error = jnp.abs(step.outputs["prediction"] - step.batch["label"])
    weight = step.batch["weight"]
    return {
        "error": error,
        "row": step.batch["row"].astype(jnp.float32),
        "largest": (error * weight).max(),
    }, step.memory


PHASE = Phase(objective=_objective, batch_terms=("largest",), weights=lambda *arguments: {"row": 0.0, "largest": 2.0})
CLOCK = Clock(np.array([3], np.int32), np.array([20], np.int32))
OF_LABELS = Phase(objective=lambda step, *arguments: ({"label": step.batch["label"]}, step.memory))


@pytest.mark.parametrize("size", [4, 64])
def test_a_term_is_the_mean_over_the_samples_and_a_batch_term_over_them_by_its_batch(audio, size):
    forward, variables, columns = audio
    scorer = Scorer(forward, {"test": columns["test"]}, TOY.options(evaluation_batch_size=size))
    memory = {"nothing": np.zeros((1, 2), np.float32)}
    found = {
        name: float(scorer.term(one_run(variables), {}, memory, CLOCK, "test", PHASE, name, runs=1)[0])
        for name in ("error", "row", "largest", "loss")
    }
    error = np.abs(by_hand(variables.params, columns["test"]) - columns["test"]["label"])
    parts = np.split(error, range(4, 9, 4)) if size == 4 else [error]
    largest = sum(len(part) * part.max() for part in parts) / 9
    want = {"error": error.mean(), "row": 4.0, "largest": largest, "loss": error.mean() + 2 * largest}
    assert found == pytest.approx(want, rel=1e-5)


def test_a_term_can_be_the_mean_of_the_means_of_mini_batches(audio):
    forward, variables, columns = audio
    options = TOY.options(validation_mean="batches", batch_size=4, evaluation_batch_size=64)
    scorer = Scorer(forward, {name: columns[name] for name in ("valid", "test")}, options)
    memory = {"nothing": np.zeros((1, 2), np.float32)}
    found = {
        name: float(scorer.term(one_run(variables), {}, memory, CLOCK, "test", PHASE, name, runs=1)[0])
        for name in ("error", "row", "largest", "loss")
    }
    error = np.abs(by_hand(variables.params, columns["test"]) - columns["test"]["label"])
    parts = np.split(error, [4, 8])  # of nine samples
    mean, largest = np.mean([part.mean() for part in parts]), np.mean([part.max() for part in parts])
    want = {"error": mean, "row": np.mean([1.5, 5.5, 8]), "largest": largest, "loss": mean + 2 * largest}
    assert found == pytest.approx(want, rel=1e-5)


# -- packed text ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def text_only():
    """Scores of a text-only network by (packed, batch size)."""
    dataset, method = tiny_dataset(modalities=("text",), rows=(16, 5, 13)), METHODS["text_only"]
    options = override(method.options(), QUICK)
    forward, variables, columns = network_of(method, dataset, options)
    scores = {}
    for packed, size in ((True, 4), (False, 4), (True, 64)):
        own = override(options, {"pack_text": packed, "evaluation_batch_size": size})
        scorer = Scorer(forward, {name: columns[name] for name in ("valid", "test")}, own)
        scores[packed, size] = {name: predicted(scorer, variables, name) for name in ("valid", "test")}
    return scores


def test_the_mini_batches_of_a_term_are_those_of_the_split_in_its_order_in_packed_text_too():
    dataset, method = tiny_dataset(modalities=("text",), rows=(16, 5, 13)), METHODS["text_only"]
    options = override(method.options(), {**QUICK, "pack_text": True, "validation_mean": "batches", "batch_size": 4})
    forward, variables, columns = network_of(method, dataset, options)
    scorer = Scorer(forward, {"test": columns["test"]}, options)
    label = columns["test"]["label"]
    found = scorer.term(one_run(variables), {}, {}, CLOCK, "test", OF_LABELS, "label", runs=1)
    np.testing.assert_allclose(found, np.mean([part.mean() for part in np.split(label, [4, 8, 12])]), rtol=1e-5)


@pytest.mark.parametrize("together", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_the_program_that_scores_is_compiled_while_the_first_epoch_trains(tmp_path, toy, monkeypatch, together):
    spent, scores = [], Scorer.scores

    def watched(self, *arguments, **named):
        begun = compile_seconds()
        found = scores(self, *arguments, **named)
        spent.append(compile_seconds() - begun)
        return found

    watch_compiler()
    monkeypatch.setattr(Scorer, "scores", watched)
    begun = compile_seconds()
    toy_experiment(tmp_path / "runs", runs_per_program=together)(None)
    assert spent
    assert not any(spent)
    assert compile_seconds() > begun


@pytest.mark.parametrize("name", ["valid", "test"])
def test_packed_text_scores_as_padded_text(text_only, name):
    np.testing.assert_allclose(text_only[True, 4][name], text_only[False, 4][name], atol=1e-6)
    assert text_only[True, 4][name].std() > 1e-4


@pytest.mark.parametrize("name", ["valid", "test"])
def test_the_batch_size_of_evaluation_changes_nothing_in_packed_text(text_only, name):
    np.testing.assert_allclose(text_only[True, 4][name], text_only[True, 64][name], atol=1e-6)
