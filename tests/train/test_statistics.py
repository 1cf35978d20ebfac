"""Running statistics of a network: moved by real rows, kept with the best epoch, resumed, handed on, used to predict."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.layers.dense import Linear
from msa_jax.layers.normalisation import BatchNorm
from msa_jax.methods.protocol import Inputs, Phase, Stage, one_stage
from msa_jax.train.checkpoint import RunCheckpoints, load_stage
from msa_jax.train.predictor import Predictor
from tests.tiny import TOY, TOY_QUICK, ToyOptions, contrary, tiny_dataset, train_toy
from tests.train.kit import AUDIO, STILL, Bench, alone, interrupt_and_resume, outcome, registered, run_of, runner_of
from tests.train.kit import toy_experiment as experiment_of

MEAN, VAR = "norm/mean", "norm/var"


class NormedNetwork(nn.Module):
    """Mean of the audio frames -> 4 hidden units, normalised over the batch -> score."""

    options: ToyOptions
    inputs: Inputs
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, batch: Mapping[str, Any], *, train: bool) -> dict[str, jax.Array]:
        audio = batch["audio"]
        mean = audio["features"].sum(1) / jnp.maximum(audio["length"], 1)[:, None]
        # Right behind the layer, its bias would have no gradient but rounding, of which Adam makes whole steps.
        hidden = jnp.tanh(Linear(4, self.dtype, name="audio_encoder")(mean))
        hidden = BatchNorm(name="norm")(hidden, batch["weight"] > 0, train=train)
        return {"prediction": Linear(1, self.dtype, name="score")(hidden)[:, 0].astype(jnp.float32)}


def _objective(step, options, inputs):
    # What an objective is shown is what the step has made of them.
    moved = sum(jnp.abs(value).sum() for path, value in step.statistics.items() if path == MEAN)
    return {"error": jnp.abs(step.outputs["prediction"] - step.batch["label"]), "shown": moved * 0.0}, step.memory


PLAIN = {"init_memory": lambda options, inputs, columns: {}, "records": lambda memory: {}}
NORMED = replace(
    TOY, name="normed", network=NormedNetwork, stages=one_stage(_objective, batch_terms=("shown",)), **PLAIN
)


@pytest.fixture(autouse=True, scope="module")
def normed():
    with registered(NORMED) as method:
        yield method


def train_normed(out, dataset=AUDIO, **named):
    """An experiment of the method, and the statistics that its run 1 keeps."""
    options = {"max_epochs": 3, **named.pop("options", {})}
    experiment = train_toy(out, dataset, method="normed", options=options, **named)
    return experiment, Predictor.load(out).variables[1].statistics


def test_the_running_averages_are_of_the_rows_that_count_and_follow_each_other():
    dataset = tiny_dataset(modalities=("audio",), rows=(10, 2, 2))
    bench = Bench(NORMED, dataset, {"batch_size": 8, **STILL})  # eight rows, then two and padding
    assert set(bench.initial.variables.statistics) == {MEAN, VAR}
    state, _ = bench.walk()
    audio, p = bench.columns["audio"], bench.params
    frames = audio["features"].sum(1, dtype=np.float64) / audio["length"][:, None]
    hidden = np.tanh(frames @ p["audio_encoder/kernel"].astype(np.float64) + p["audio_encoder/bias"])
    mean, var = np.zeros(4), np.ones(4)
    for rows in (hidden[:8], hidden[8:]):
        mean, var = 0.9 * mean + 0.1 * rows.mean(0), 0.9 * var + 0.1 * rows.var(0, ddof=1)
    found = alone(state).statistics
    np.testing.assert_allclose(found[MEAN], mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found[VAR], var, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_they_are_moved_by_every_batch_of_a_window():
    dataset = tiny_dataset(modalities=("audio",), rows=(8, 2, 2))
    found = []
    for size in (1, 2):
        bench = Bench(NORMED, dataset, {"batch_size": 4, "accumulate": size, **STILL})
        found.append(alone(bench.walk()[0]).statistics)
    for path in (MEAN, VAR):
        np.testing.assert_allclose(found[0][path], found[1][path], rtol=1e-5)


@pytest.fixture(scope="module")
def turned(normed, tmp_path_factory):
    """Three epochs of which the first is the best."""
    return train_normed(tmp_path_factory.mktemp("turned") / "run", contrary(AUDIO))


def test_those_of_the_best_epoch_are_kept(turned, tmp_path):
    experiment, kept = turned
    assert (experiment.runs[0].best_epoch, experiment.runs[0].epochs) == (1, 3)
    _, first = train_normed(tmp_path / "first", contrary(AUDIO), options={"max_epochs": 1})
    _, last = train_normed(tmp_path / "last", AUDIO)
    for path in (MEAN, VAR):
        np.testing.assert_array_equal(kept[path], first[path])
        assert (kept[path] != last[path]).all()


def test_they_are_used_to_predict(turned):
    experiment, _ = turned
    predictor = Predictor.load(experiment.path)
    scores = predictor.predict(AUDIO.test)
    np.testing.assert_allclose(scores, experiment.runs[0].scores["test"]["prediction"], atol=1e-6)
    unmoved = {MEAN: np.zeros(4, np.float32), VAR: np.ones(4, np.float32)}
    other = replace(predictor, variables={1: predictor.variables[1]._replace(statistics=unmoved)})
    assert (np.abs(other.predict(AUDIO.test) - scores) > 1e-4).all()


@pytest.mark.slow
def test_a_resumed_run_has_those_of_a_straight_one_bit_for_bit(tmp_path):
    begin = {name: experiment_of(tmp_path / name, method="normed", seeds=(1,), max_epochs=4) for name in ("one", "two")}
    begin["one"](None)
    assert interrupt_and_resume(tmp_path / "two", [2], begin["two"]) == outcome(tmp_path / "one")
    one, two = (Predictor.load(tmp_path / name).variables[1].statistics for name in begin)
    for path in (MEAN, VAR):
        np.testing.assert_array_equal(one[path], two[path])


@pytest.mark.slow
def test_two_devices_that_share_a_mini_batch_have_those_of_one(tmp_path):
    (one, alone_), (two, shared) = (
        train_normed(tmp_path / str(count), options={"data_devices": count, "max_epochs": 2}) for count in (1, 2)
    )
    np.testing.assert_allclose(*(run.runs[0].scores["test"]["prediction"] for run in (one, two)), atol=1e-5)
    for path in (MEAN, VAR):
        np.testing.assert_allclose(alone_[path], shared[path], atol=1e-6)


@pytest.mark.slow
def test_a_stage_begins_with_those_that_the_best_epoch_of_the_one_before_left(tmp_path):
    phase = Phase(objective=_objective, batch_terms=("shown",))
    stages = (Stage(name="first", phases=(phase,)), Stage(name="second", phases=(phase,)))
    staged = replace(NORMED, stages=lambda options, inputs: stages)
    dataset = contrary(AUDIO)  # the first epoch of every stage is its best
    _, want = train_normed(tmp_path / "one", dataset, options={"max_epochs": 1})
    with registered(staged):
        experiment, _ = train_normed(tmp_path / "two", dataset, options={"max_epochs": 2})
        runner = runner_of(staged, dataset, {**TOY_QUICK, "stages_from": str(experiment.path)})
    folder = experiment.path / "checkpoints" / "1" / "stages" / "first"
    left = load_stage(folder, runner.inits.initial(run_of(1))).variables.statistics
    checkpoints = RunCheckpoints(tmp_path / "new")
    state, _ = runner.inits.resume([run_of(1)], checkpoints)
    checkpoints.close()
    assert int(state.stage) == 1
    for path in (MEAN, VAR):
        np.testing.assert_array_equal(left[path], want[path])
        np.testing.assert_array_equal(alone(state.train).statistics[path], want[path])
        np.testing.assert_array_equal(alone(state.best).statistics[path], want[path])
