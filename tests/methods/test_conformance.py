"""Every method of msa_jax keeps to the protocol; and the suite that says so finds methods that do not."""

from dataclasses import replace
from functools import lru_cache

import flax.linen as nn
import jax.numpy as jnp
import pytest

from msa_jax import methods
from msa_jax.errors import MethodError
from msa_jax.layers.dense import Linear
from msa_jax.methods import BUILT_IN
from msa_jax.methods.protocol import one_stage
from msa_jax.testing import CHECKS, Conformance, check_method
from msa_jax.testing import check as run_check
from msa_jax.testing.conformance import QUICK as FOR_ALL
from tests.methods.small import SMALL
from tests.tiny import TOY, ToyNetwork

# Quickly, the method that has most of what the protocol has. Phases, stages and statistics have quick tests of their own
# (test_mmim, test_decomposed, tests/train), and so has training end to end.
QUICK = {"self_mm"}
LARGEST = {"training", "export"}
# A fifth of the rates of the suite: TETFN, which reads padding in the reference protocol, ends in a constant score with those.
REFERENCE_RATES = {
    "tetfn": {
        "learning_rate.text": 2e-4,
        "learning_rate.audio": 2e-3,
        "learning_rate.vision": 2e-3,
        "learning_rate.other": 2e-3,
    }
}


@lru_cache(maxsize=1)  # the checks of a method follow each other, and its programs need not outlive them
def conformance(name: str, protocol: str = "default") -> Conformance:
    method = methods.get(name)
    reference = method.reference if protocol == "reference" else {}
    # Sizes of mini-batches, texts and trainings stay those of the suite, and an epoch of three mini-batches has an update.
    kept = {option: value for option, value in reference.items() if option not in FOR_ALL}
    fewer = {"accumulate": 2} if "accumulate" in reference else {}
    slower = REFERENCE_RATES.get(name, {}) if protocol == "reference" else {}
    return Conformance(method, {**kept, **fewer, **SMALL.get(name, {}), **slower})


def cases():
    for name in BUILT_IN:
        for check in CHECKS:
            slow = name not in QUICK or check in LARGEST
            yield pytest.param(name, check, marks=[pytest.mark.slow] if slow else [], id=f"{name}, {check}")


@pytest.mark.parametrize(("name", "check"), list(cases()))
def test_the_method_keeps_to_the_protocol(name, check):
    run_check(conformance(name), check)


def reference_cases():
    for name in BUILT_IN:
        for check in CHECKS if methods.get(name).reference else ():
            if (name, check) == ("raven", "what moves"):
                continue  # as in the authors' code no gradient reaches its shift
            yield pytest.param(name, check, id=f"{name}, {check}")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "check"), list(reference_cases()))
def test_the_method_keeps_to_the_protocol_by_its_reference_protocol_too(name, check):
    run_check(conformance(name, "reference"), check)


# -- the suite itself -------------------------------------------------------------------------------------------------

TOY_RATES = {"learning_rate.audio": 0.02, "learning_rate.other": 0.02}


def test_a_method_that_is_not_registered_is_checked_too():
    made = check_method(TOY, TOY_RATES, leave_out=("training", "export"))
    assert set(made) == set(CHECKS) - {"training", "export"}


def broken(**fields):
    return Conformance(replace(TOY, **fields), TOY_RATES)


def objective_of(term):
    """Stages whose objective is a single term of the outputs and the batch."""
    return one_stage(lambda step, options, inputs: ({"multimodal": term(step)}, step.memory))


class ReadsPadding(nn.Module):
    """A network whose score hangs on how many steps there are, padding included."""

    options: object
    inputs: object
    dtype: object = jnp.float32

    @nn.compact
    def __call__(self, batch, *, train):
        mean = batch["audio"]["features"].mean(1)
        return {"prediction": Linear(1, name="score")(mean)[:, 0]}


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
        ("memory", {"stages": one_stage(lambda step, options, inputs: ({"a": step.batch["label"]}, {}))}, "a step makes of"),
    ],
)  # fmt: skip
def test_a_method_that_breaks_the_protocol_is_found(check, fields, message):
    with pytest.raises((AssertionError, MethodError), match=message):
        run_check(broken(**fields), check)


@pytest.mark.slow
def test_a_parameter_that_does_not_move_is_found():
    with pytest.raises(AssertionError, match="idle did not move"):
        run_check(broken(network=Untrained), "what moves")
