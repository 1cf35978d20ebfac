"""Every method of msa_jax keeps to the protocol; and the suite that says so finds methods that do not."""

import contextlib
from dataclasses import replace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.errors import InputError, MethodError
from msa_jax.layers.dense import Linear
from msa_jax.methods import BUILT_IN, METHODS
from msa_jax.methods.protocol import one_stage
from msa_jax.testing import CHECKS, Conformance, check_method
from msa_jax.testing import check as run_check
from msa_jax.testing.close import close
from msa_jax.train.checkpoint import RunCheckpoints
from tests.methods.conformance_kit import conformance
from tests.tiny import TOY, ToyNetwork
from tests.train.kit import registered

# Quickly, the method that has most of what the protocol has. Phases, stages and statistics have quick tests of their own
# (test_mmim, test_decomposed, tests/train), and so has training end to end.
QUICK = {"self_mm"}
LARGEST = {"resumption", "side by side", "export"}
# Of every method runs side by side are compared with separate ones in tests/train/test_eight_devices.py, too.
SIDE_BY_SIDE = {"self_mm", "tfn", "mmim"}


def cases():
    for name in BUILT_IN:
        for check in CHECKS:
            if check == "side by side" and name not in SIDE_BY_SIDE:
                continue
            slow = name not in QUICK or check in LARGEST
            yield pytest.param(name, check, marks=[pytest.mark.slow] if slow else [], id=f"{name}, {check}")


@pytest.mark.usefixtures("compiled_quickly")
@pytest.mark.parametrize(("name", "check"), list(cases()))
def test_the_method_keeps_to_the_protocol(name, check):
    run_check(conformance(name), check)


# -- the suite itself -------------------------------------------------------------------------------------------------

TOY_RATES = {"learning_rate.audio": 0.02, "learning_rate.other": 0.02}


def test_a_method_that_is_not_registered_is_checked_too():
    made = check_method(TOY, TOY_RATES, leave_out=sorted(LARGEST))
    assert set(made) == set(CHECKS) - LARGEST


def broken(**fields):
    return Conformance(replace(TOY, **fields), TOY_RATES)


def objective_of(term):
    """Stages whose objective is a single term of the outputs and the batch."""
    return one_stage(lambda step, options, inputs: ({"multimodal": term(step)}, step.memory))


def audio_error(step, options, inputs):
    return {"error": jnp.abs(step.outputs["prediction"] - step.batch["label"])}, step.memory


class ReadsPadding(nn.Module):
    """A network whose score hangs on how many steps there are, padding included."""

    options: object
    inputs: object
    dtype: object = jnp.float32

    @nn.compact
    def __call__(self, batch, *, train):
        mean = batch["audio"]["features"].mean(1)
        return {"prediction": Linear(1, name="score")(mean)[:, 0]}


class Centred(ToyNetwork):
    """A network whose scores have the mean 0 in every batch."""

    def __call__(self, batch, *, train):
        score = super().__call__(batch, train=train)["prediction"]
        return {"prediction": score - score.mean()}


class Untrained(ToyNetwork):
    """A network with a parameter that no gradient reaches."""

    @nn.compact
    def __call__(self, batch, *, train):
        self.param("idle", nn.initializers.ones, (3,))
        return super().__call__(batch, train=train)


@pytest.mark.parametrize(
    ("check", "fields", "message"),
    [
        ("names", {"heads": ("prediction", "text")}, "names an output text; there are prediction"),
        ("names", {"exports": ("gate",)}, "names an output gate; there are prediction"),
        ("names", {"records": lambda memory: {"short": memory["last"][:3]}}, "short"),
        ("missing", {"reads": ("text",)}, "audio is absent, which the method says it does not read: score"),
        ("names", {"reference": {"patience": 8}}, "the reference protocol names defaults: {'patience'}"),
        ("padding", {"network": ReadsPadding}, "with more padding, score"),
        (
            "weightless rows",
            {"stages": objective_of(lambda step: jnp.abs(step.outputs["prediction"] - step.batch["label"].mean()))},
            "phase train: term",
        ),
        (
            "batch of one",
            {"stages": objective_of(lambda step: step.outputs["prediction"] / (step.batch["weight"].sum() - 1))},
            "not finite with one sample",
        ),
        ("names", {"stages": one_stage(audio_error, frozen="^discriminatr")}, "phase train: frozen '.discriminatr' matches no"),
        ("names", {"stages": one_stage(audio_error, batch_terms=("typo",))}, "phase train names a batch term typo; there are"),
        ("names", {"valid_terms": ("typo",)}, "method toy names a valid term typo; there are"),
        ("names", {"text_encoder": "bert"}, "text_encoder '.bert/' matches no parameter"),
        ("names", {"name": "to-y"}, "its name is 'to-y'"),
        ("other samples", {"network": Centred}, "among other samples, score"),
        ("memory", {"stages": one_stage(lambda step, options, inputs: ({"a": step.batch["label"]}, {}))}, "a step makes of"),
    ],
)  # fmt: skip
def test_a_method_that_breaks_the_protocol_is_found(check, fields, message):
    with pytest.raises((AssertionError, MethodError), match=message):
        run_check(broken(**fields), check)


def test_a_method_that_needs_every_modality_passes():
    def needs_all(options, inputs):
        if len(inputs.modalities) < 3:
            raise InputError("method toy needs text, audio and vision")

    run_check(broken(check=needs_all), "absent modalities")


def test_an_error_of_another_kind_names_the_check_too():
    def fails(step, options, inputs):
        raise ZeroDivisionError("nothing to divide by")

    with pytest.raises(ZeroDivisionError, match="nothing to divide by") as error:
        run_check(broken(stages=one_stage(fails)), "memory")
    assert error.value.__notes__[-1] == "method toy, memory"


@pytest.mark.parametrize("name", ["toy", "self_mm"])
def test_what_is_trained_is_the_method_that_is_checked_and_not_one_of_its_name(name):
    def fails(step, options, inputs):
        raise ZeroDivisionError

    with registered(replace(TOY, name=name)), pytest.raises(ZeroDivisionError):
        run_check(broken(name=name, stages=one_stage(fails)), "resumption")
    assert "toy" not in METHODS
    assert METHODS["self_mm"].options is not TOY.options


@pytest.mark.parametrize(
    ("got", "equal"), [([np.inf, 2.0], True), ([np.inf, 1.0], False), ([-np.inf, 2.0], False), ([np.nan, 2.0], False)]
)
def test_infinity_is_close_to_itself_alone(got, equal):
    found = contextlib.nullcontext() if equal else pytest.raises(AssertionError, match=r"memory \[0\] differs by")
    with found:
        close([np.array(got)], [np.array([np.inf, 2.0])], "memory", tolerance=1e-5)


@pytest.mark.slow
def test_a_parameter_that_does_not_move_is_found():
    with pytest.raises(AssertionError, match="idle did not move"):
        run_check(broken(network=Untrained), "what moves")


class Doubtful(ToyNetwork):
    """A network whose score is another one where it computes in another number format."""

    def __call__(self, batch, *, train):
        outputs = super().__call__(batch, train=train)
        return {"prediction": outputs["prediction"] + (self.dtype == jnp.bfloat16)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("check", "fields", "message"),
    [
        ("bfloat16", {"network": Doubtful}, "bfloat16"),
        (
            "by heart",
            {"stages": objective_of(lambda step: jnp.abs(step.outputs["prediction"]))},
            "the mean absolute error is",
        ),
    ],
)
def test_slower_checks_find_what_breaks_the_protocol(check, fields, message):
    with pytest.raises(AssertionError, match=message):
        run_check(broken(**fields), check)


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["optimiser", "everything"])
def test_a_resumption_that_loses_something_is_found(monkeypatch, lost):
    restore = RunCheckpoints.restore

    def forgets(self, like):
        state = restore(self, like)
        if lost == "everything":
            return like(0)
        zeros = jax.tree.map(lambda leaf: 0 * leaf, state.train.optimiser)
        return state.replace(train=state.train.replace(optimiser=zeros))

    monkeypatch.setattr(RunCheckpoints, "restore", forgets)
    with pytest.raises(AssertionError, match="resumed, it"):
        run_check(Conformance(TOY, TOY_RATES), "resumption")


def test_a_check_that_there_is_not_cannot_be_left_out():
    with pytest.raises(InputError, match="leave_out names training; expected names of names, "):
        check_method(TOY, TOY_RATES, leave_out=("training",))
