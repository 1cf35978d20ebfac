"""The maths of one mini-batch: means over the samples that count, weights, and what breaks the protocol."""

from dataclasses import replace
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.errors import InputError, MethodError
from msa_jax.layers.dense import Linear
from msa_jax.methods.protocol import Inputs, Phase, Score, no_weights
from msa_jax.train.step import check_outputs, measure
from tests.tiny import TOY, ToyOptions, train_toy
from tests.train.kit import AUDIO, registered, runner_of

WEIGHT = jnp.array([1.0, 1.0, 0.0, 1.0])
PHASE = Phase(name="fit", objective=lambda step, options, inputs: ({}, {}), batch_terms=("spread",))


# -- means and weights ------------------------------------------------------------------------------------------------


def test_means_are_over_the_samples_that_count_and_the_loss_is_their_weighted_sum():
    terms = {
        "error": jnp.array([1.0, 3.0, 100.0, 8.0]),
        "other": jnp.array([2.0, 0.0, 100.0, 1.0]),
        "spread": jnp.float32(7),
    }
    measured = measure(PHASE, terms, {"other": 0.5, "spread": jnp.float32(2)}, WEIGHT)
    assert measured.means == {"error": 4, "other": 1, "spread": 7, "loss": 4 + 0.5 * 1 + 2 * 7}
    assert measured.weights == {"other": 0.5, "spread": 2}
    assert measured.count == 3


def test_without_a_sample_that_counts_means_are_zero():
    measured = measure(PHASE, {"error": jnp.ones(4)}, {}, jnp.zeros(4))
    assert measured.means == {"error": 0, "loss": 0}


def test_samples_that_do_not_count_have_no_gradient():
    gradient = jax.grad(lambda term: measure(PHASE, {"error": term}, {}, WEIGHT).means["loss"])(jnp.ones(4))
    np.testing.assert_allclose(gradient, np.array([1, 1, 0, 1]) / 3, rtol=1e-6)


@pytest.mark.parametrize(
    ("terms", "weights", "message"),
    [
        ({"error": jnp.ones(4)}, {"eror": 2.0}, "phase fit names a weight of the term eror; there are error"),
        (
            {"error": jnp.ones(4), "loss": jnp.ones(4)},
            {},
            "its terms are error, loss; expected some, and none called loss",
        ),
        ({}, {}, "its terms are none; expected some"),
        ({"error": jnp.ones(3)}, {}, r"term error has shape \(3,\); expected \(4,\)$"),
        ({"error": jnp.ones((4, 1))}, {}, r"term error has shape \(4, 1\); expected \(4,\)$"),
        (
            {"mean": jnp.float32(1)},
            {},
            r"term mean has shape \(\); expected \(4,\), or its name among the phase's batch_terms",
        ),
        ({"spread": jnp.ones(4)}, {}, r"term spread has shape \(4,\); expected \(\)$"),
    ],
)
def test_terms_that_break_the_protocol_are_an_error(terms, weights, message):
    with pytest.raises(MethodError, match=message):
        measure(PHASE, terms, weights, WEIGHT)
    assert issubclass(MethodError, InputError)  # so that the command prints one line


def test_a_term_without_a_weight_has_weight_one():
    assert no_weights(None, None, None, None) == {}
    assert measure(PHASE, {"error": jnp.full(4, 2.0)}, no_weights(None, None, None, None), WEIGHT).means["loss"] == 2


# -- outputs ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model():
    return runner_of(replace(TOY, heads=("prediction", "audio"), exports=("gate",)), AUDIO, {}).inits.stages[0].model


GOOD = {"prediction": np.zeros(3), "audio": np.zeros(3), "gate": np.zeros((3, 2)), "hidden": np.zeros((3, 4, 5))}


def test_outputs_of_the_right_names_and_shapes_pass(model):
    check_outputs(model, GOOD, 3)
    check_outputs(model, {**GOOD, "gate": np.zeros(3)}, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prediction": None}, "toy names an output prediction; there are audio, gate, hidden"),
        ({"audio": None}, "toy names an output audio; there are prediction"),
        ({"gate": None}, "toy names an output gate"),
        ({"prediction": np.zeros((3, 1))}, r"output prediction has shape \(3, 1\); expected \[B\], \(3,\)"),
        ({"audio": np.zeros(2)}, r"output audio has shape \(2,\)"),
        ({"gate": np.zeros((3, 2, 2))}, r"output gate has shape \(3, 2, 2\); expected \[B\] or \[B, d\]"),
        ({"gate": np.zeros(())}, r"output gate has shape \(\)"),
    ],
)
def test_outputs_that_break_the_protocol_are_an_error(model, change, message):
    outputs = {name: value for name, value in {**GOOD, **change}.items() if value is not None}
    with pytest.raises(MethodError, match=message):
        check_outputs(model, outputs, 3)


# -- before the first step --------------------------------------------------------------------------------------------

(STAGE,) = TOY.stages(ToyOptions(), None)
WRONG = replace(STAGE.phases[0], name="wrong", weights=lambda *arguments: {"inertia": 1.0, "eror": 1.0})


def returning(change):
    """The phase with what `change` makes of the terms and the memory that its objective gives."""
    return replace(STAGE.phases[0], objective=lambda *arguments: change(*STAGE.phases[0].objective(*arguments)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"phases": (STAGE.phases[0], WRONG)},
            "phase wrong names a weight of the term eror; there are multimodal, ine",
        ),
        (
            {"options": {"selection": "term.eror"}, "valid_terms": ("eror",)},
            "stage last names a loss term to select by eror; there are inertia, loss, multimodal",
        ),
        ({"select": Score("audio")}, "stage last names a head to select by audio; there are prediction"),
        ({"select": Score(label="label_a")}, "stage last names a label to select by label_a; there are label$"),
        ({"options": {"selection": "MEA"}}, "^stage last: option selection is 'MEA'; expected one of loss, mse, Has0"),
        ({"options": {"selection": "term.multimodal"}}, "^stage last: option selection is 'term.multimodal'; expected"),
        ({"name": "first"}, "method wrong: its stages are first, first; expected some, each with its own name"),
        (
            {"phases": STAGE.phases * 2},
            "stage last: its phases are train, train; expected some, each with its own name",
        ),
        ({"phases": ()}, "stage last: its phases are none; expected some"),
        (
            {"phases": (replace(STAGE.phases[0], share=0.0),)},
            "phase train: share is 0.0; expected above 0 and at most 1",
        ),
        (
            {"phases": (replace(STAGE.phases[0], share=1.5),)},
            "phase train: share is 1.5; expected above 0 and at most 1",
        ),
        (
            {"phases": (returning(lambda terms, memory: terms),)},
            "phase train: its objective returns dict; expected a pair",
        ),
        (
            {"phases": (replace(STAGE.phases[0], end_epoch=lambda memory, *rest: {**memory, "error": jnp.int32(0)}),)},
            "phase train: the end of an epoch turns a memory of .* into one of ",
        ),
    ],
)
def test_what_the_last_stage_gets_wrong_ends_training_before_the_first_step(tmp_path, change, message):
    own = {name: value for name, value in change.items() if name != "valid_terms"}
    last = replace(STAGE, **{"name": "last", **own})
    stages = (replace(STAGE, name="first"), last)
    method = replace(
        TOY, name="wrong", stages=lambda options, inputs: stages, valid_terms=change.get("valid_terms", ())
    )
    with registered(method), pytest.raises(InputError, match=message):
        train_toy(tmp_path / "run", AUDIO, method="wrong")
    assert not (tmp_path / "run").exists()


def test_a_head_that_is_not_there_ends_training_before_the_first_step():
    runner = runner_of(replace(TOY, heads=("prediction", "audio")), AUDIO, {})
    with pytest.raises(MethodError, match="toy names an output audio; there are prediction"):
        runner.inits.check()


def test_a_record_that_is_no_value_of_each_training_sample_is_an_error():
    runner = runner_of(replace(TOY, records=lambda memory: {"error": memory["error"]}), AUDIO, {})
    with pytest.raises(MethodError, match=r"record error has shape \(\); expected \[N\], \(24,\)"):
        runner.inits.check()


def test_a_method_without_stages_or_with_a_random_key_in_its_memory_is_an_error():
    with pytest.raises(MethodError, match="method toy: its stages are none; expected some"):
        runner_of(replace(TOY, stages=lambda options, inputs: ()), AUDIO, {})
    memory = replace(TOY, init_memory=lambda *arguments: {"key": jax.random.key(0)}, records=lambda memory: {})
    with pytest.raises(
        MethodError, match=r"method toy: its memory has a random key at \['key'\]; expected arrays of num"
    ):
        runner_of(memory, AUDIO, {}).inits.check()


class Layers(nn.Module):
    """A network with a layer that is called in training alone, or with a scalar of that path."""

    options: object
    inputs: object
    dtype: object = jnp.float32
    path: str = "score"

    @nn.compact
    def __call__(self, batch, *, train):
        mean = batch["audio"]["features"].mean(1)
        if self.path == "train" and train:
            mean = Linear(3, name="extra")(mean)
        score = Linear(1, name="score")(mean)[:, 0]
        return {"prediction": Gain(name=self.path)(score) if self.path != "train" else score}


class Gain(nn.Module):
    """A factor."""

    @nn.compact
    def __call__(self, value):
        return value * self.param("gain", nn.initializers.ones, ())


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("train", "method toy: its network has a parameter in training alone, .* train=False; .*extra"),
        ("layers", "method toy: parameter layers/gain has no axis; below the name layers the first axis"),
    ],
)
def test_a_parameter_that_the_engine_cannot_keep_is_an_error(path, message):
    method = replace(TOY, network=lambda *arguments: Layers(*arguments, path=path))
    with pytest.raises(MethodError, match=message):
        runner_of(method, AUDIO, {}).inits.check()
    runner_of(replace(TOY, network=lambda *arguments: Layers(*arguments, path="gain")), AUDIO, {}).inits.check()


# -- what the network sees --------------------------------------------------------------------------------------------


class Peeking(nn.Module):
    """A score that is the label: always, or in training alone."""

    options: ToyOptions
    inputs: Inputs
    dtype: jnp.dtype = jnp.float32
    always: bool = True

    @nn.compact
    def __call__(self, batch, *, train: bool):
        mean = Linear(1, self.dtype, name="score")(batch["audio"]["features"].mean(1))[:, 0]
        return {"prediction": mean + batch["label"] if train or self.always else mean}


def test_a_network_that_reads_a_label_in_evaluation_is_an_error():
    method = replace(TOY, network=Peeking)
    with pytest.raises(MethodError, match="method toy: its network reads label in evaluation, where it sees no label"):
        runner_of(method, AUDIO, {}).inits.check()


def test_a_network_that_reads_a_label_in_training_alone_scores_without(tmp_path):
    method = replace(TOY, name="mixing", network=partial(Peeking, always=False))
    with registered(method):
        assert train_toy(tmp_path / "run", AUDIO, method="mixing").mean["MAE"] > 0.1
