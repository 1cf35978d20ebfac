"""Every method of msa_jax keeps to the protocol; and the suite that says so finds methods that do not."""

from dataclasses import replace
from functools import cache

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
from tests.tiny import TOY, ToyNetwork

# Small enough to compile in seconds.
SMALL = {
    "mmcl": {
        "lstm_hidden": 4, "layers": 2, "heads": 2, "feedforward": 8, "width": 8, "cnn_channels": 8, "predictor_hidden": 8,
        "cnn_kernels": "4,3", "cnn_strides": "2,2", "learning_rate.audio": 1e-2, "learning_rate.vision": 1e-2,
    },
    "confede": {
        "width": 16, "audio_layers": 1, "vision_layers": 1, "heads": 2, "projection": 16, "fusion_hidden": "16",
        "part_hidden": "8", "regressor_hidden": "8", "stage_text.max_epochs": 1, "stage_audio.max_epochs": 1,
        "stage_vision.max_epochs": 1, "learning_rate.other": 1e-2,
    },
    "self_mm": {"audio_hidden": 4, "vision_hidden": 4},
    "tfn": {"text_hidden": 8, "text_size": 4, "audio_size": 4, "vision_size": 4, "fusion_hidden": 16},
    "lmf": {"text_hidden": 8, "text_size": 4, "audio_size": 4, "vision_size": 4},
    "ef_lstm": {"hidden": 8, "layers": 2, "dropout": 0.1, "learning_rate.other": 1e-2},
    "tfr_net": {
        "width": 8, "heads": 2, "layers": 1, "gate_layers": 1, "hidden": 8, "weights.similarity": 1.0,
        "learning_rate.other": 1e-2,
    } | dict.fromkeys(("input_dropout", "hidden_dropout", "residual_dropout", "text_dropout", "gate_dropout"), 0.1),
    "lnln": {
        "width": 16, "tokens": 2, "layers": 1, "fusion_layers": 1, "heads": 2, "head_width": 4, "feedforward": 16,
    } | {f"learning_rate.{group}": 1e-2 for group in ("audio", "vision", "other")},
    "lf_lstm": {"text_hidden": 8, "audio_hidden": 4, "vision_hidden": 4} | {
        f"learning_rate.{group}": 1e-2 for group in ("audio", "vision", "other")
    },
    "mag_bert": {f"learning_rate.{group}": 1e-3 for group in ("text", "audio", "vision", "other")},
    "misa": {"hidden": 16, "fusion_feedforward": 32, "dropout": 0.1},
    "mmim": {"audio_hidden": 4, "vision_hidden": 4, "width": 16},
    "mult": {"width": 8, "heads": 2, "layers": 1, "learning_rate.other": 1e-2},
    "mctn": {"hidden": 16, "learning_rate.other": 1e-2, "weights.translation": 1.0},
    "raven": {"nonverbal": 8, "hidden": 8, "learning_rate.other": 1e-2},
    "spt": {"spt.iterations": 2, "spt.width": 8, "spt.heads": 2, "learning_rate.other": 1e-2},
    "tetfn": {
        "audio_hidden": 4, "vision_hidden": 4, "width": 8, "heads": 2, "layers": 1, "feature_size.m": 8, "feature_size.t": 8,
        "feature_size.a": 8, "feature_size.v": 8, "learning_rate.audio": 1e-2, "learning_rate.vision": 1e-2,
        "learning_rate.other": 1e-2,
    },
    "sugrm": {"spt.iterations": 2, "spt.width": 8, "spt.heads": 2},
}  # fmt: skip
SMALL["dmmsa"] = SMALL["confede"]
SMALL["mfn"] = {
    "hidden.text": 8, "hidden.audio": 4, "hidden.vision": 4, "memory": 8, "layer.proposal": 8, "layer.retain": 8,
    "layer.update": 8, "dropout.retain": 0.1, "dropout.update": 0.1,
}  # fmt: skip
# Enough units behind a ReLU that some of them are not 0 everywhere.
SMALL["graph_mfn"] = {**SMALL["mfn"], "hidden.audio": 16, "hidden.vision": 16, "vertex": 8, "vertex_hidden": 16}
SMALL["mfm"] = {**SMALL["mfn"], **{f"code.{name}": 8 for name in ("label", "text", "audio", "vision")}}
SMALL |= {"lf_dnn": SMALL["tfn"], "mtfn": SMALL["tfn"], "mlmf": SMALL["lmf"], "mlf_dnn": SMALL["tfn"]}
# Quickly, the method that has most of what the protocol has. Phases, stages and statistics have quick tests of their own
# (test_mmim, test_decomposed, tests/train), and so has training end to end.
QUICK = {"self_mm"}
LARGEST = {"training", "export"}


@cache
def conformance(name: str) -> Conformance:
    return Conformance(methods.get(name), SMALL.get(name))


def cases():
    for name in BUILT_IN:
        for check in CHECKS:
            slow = name not in QUICK or check in LARGEST
            yield pytest.param(name, check, marks=[pytest.mark.slow] if slow else [], id=f"{name}, {check}")


@pytest.mark.parametrize(("name", "check"), list(cases()))
def test_the_method_keeps_to_the_protocol(name, check):
    run_check(conformance(name), check)


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
