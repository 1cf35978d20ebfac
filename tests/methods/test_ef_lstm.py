"""EF-LSTM: what its network computes, what its norm is over, its options."""

import jax
import numpy as np
import pytest

from msa_jax import config
from msa_jax.errors import InputError
from msa_jax.methods import ef_lstm
from msa_jax.methods.protocol import STATISTICS, Inputs, SequenceInput, check_inputs
from tests.methods.cases import made_by_mmsa_preset, parameter_count
from tests.methods.network_kit import CHECKS, NetworkKit, close

LENGTHS = [6, 2, 3, 1, 5]
KIT = NetworkKit(
    ef_lstm.METHOD,
    {"hidden": 4, "layers": 3, "dropout": 0.0},
    shapes={"text": (6, 8), "audio": (6, 5), "vision": (6, 3)},
    lengths=dict.fromkeys(("text", "audio", "vision"), LENGTHS),
    aligned=True,
)
INCLUDED = {"padding": "included", "pack_text": False, "max_tokens": 6}
TIME_NORM = {**INCLUDED, "time_norm": True}


QUICK = {"check_gradients"}


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(check, marks=[] if check.__name__ in QUICK else [pytest.mark.slow], id=check.__name__)
        for check in CHECKS
    ],
)
def test_it_keeps_to_what_every_network_does(check):
    check(KIT)


# -- the network ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dataset", "count"), [("mosi", 885_605), ("mosei", 1_754_725), ("sims", 215_695)])
def test_a_preset_of_mmsa_has_its_parameters(dataset, count):
    assert parameter_count(made_by_mmsa_preset(f"ef_lstm_{dataset}_mmsa")[1]) == count


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def read(steps: np.ndarray, params: dict) -> np.ndarray:
    """The states of an LSTM over one sequence [n, d], gate by gate in float64."""
    states = [np.zeros(4)]
    cell = np.zeros(4)
    for step in steps:
        gates = step @ params["input"] + states[-1] @ params["recurrent"]
        into, forget, new, out = np.split(gates + params["input_bias"] + params["recurrent_bias"], 4)
        cell = sigmoid(forget) * cell + sigmoid(into) * np.tanh(new)
        states.append(sigmoid(out) * np.tanh(cell))
    return np.array(states[1:])


def by_hand(variables: dict, steps: np.ndarray) -> tuple[np.ndarray, float]:
    """The hidden layer and the score of one sample from its normalised steps [n, d]."""
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables["params"])
    for number in range(3):
        steps = read(steps, params["lstm"][f"layer_{number}"])
    hidden = np.maximum(steps[-1] @ params["linear"]["kernel"] + params["linear"]["bias"], 0)
    return hidden, (hidden @ params["score"]["kernel"] + params["score"]["bias"])[0]


def joined(batch: dict) -> np.ndarray:
    return np.concatenate([np.asarray(batch[name]["features"], np.float64) for name in KIT.shapes], -1)


def scaled(x: np.ndarray, mean, var, norm: dict) -> np.ndarray:
    return (x - mean) / np.sqrt(var + 1e-5) * norm["scale"] + norm["bias"]


def test_the_score_is_read_off_the_last_token_by_lstms_over_joined_steps():
    variables, steps, outputs = KIT.variables(), joined(KIT.batch()), KIT.evaluated()
    statistics = variables[STATISTICS]["norm"]
    steps = scaled(steps, statistics["mean"], statistics["var"], variables["params"]["norm"])
    for row, length in enumerate(LENGTHS):
        hidden, score = by_hand(variables, steps[row, :length])
        np.testing.assert_allclose(outputs["representation"][row], hidden, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(outputs["prediction"][row], score, rtol=1e-4, atol=1e-4)
    assert np.ptp(outputs["prediction"]) > 0.02


def test_every_feature_is_normalised_over_the_valid_steps_of_the_mini_batch():
    variables, steps = KIT.variables(), joined(KIT.batch())
    outputs, moved, _ = KIT.trained(KIT.batch())
    valid = np.concatenate([steps[row, :length] for row, length in enumerate(LENGTHS)])
    before = variables[STATISTICS]["norm"]
    np.testing.assert_allclose(moved["norm"]["mean"], 0.9 * before["mean"] + 0.1 * valid.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(moved["norm"]["var"], 0.9 * before["var"] + 0.1 * valid.var(0, ddof=1), rtol=1e-5)
    steps = scaled(steps, valid.mean(0), valid.var(0), variables["params"]["norm"])
    for row, length in enumerate(LENGTHS):
        np.testing.assert_allclose(outputs["prediction"][row], by_hand(variables, steps[row, :length])[1], atol=1e-4)


@pytest.mark.slow
def test_every_time_step_is_normalised_and_padding_read_if_that_is_asked_for():
    batch = KIT.batch(fill=0.5)
    variables, steps = KIT.variables(**TIME_NORM), joined(batch)
    for name in ("audio", "vision"):  # zeros stand there, whatever the file has
        first = {"audio": 8, "vision": 13}[name]
        width = KIT.shapes[name][1]
        steps[..., first : first + width] *= (np.arange(6) < np.array(LENGTHS)[:, None])[..., None]
    outputs, moved, _ = KIT.trained(batch, **TIME_NORM)
    mean, var = steps.mean((0, 2)), steps.var((0, 2))
    before = variables[STATISTICS]["norm"]
    assert before["mean"].shape == (6,)
    np.testing.assert_allclose(moved["norm"]["mean"], 0.9 * before["mean"] + 0.1 * mean, rtol=1e-5, atol=1e-6)
    params = {name: value[:, None] for name, value in variables["params"]["norm"].items()}
    steps = scaled(steps, mean[:, None], var[:, None], params)
    for row in range(len(LENGTHS)):
        np.testing.assert_allclose(outputs["prediction"][row], by_hand(variables, steps[row])[1], atol=1e-4)


@pytest.mark.slow
def test_padding_is_read_up_to_a_constant_length_if_that_is_asked_for():
    changes = {**INCLUDED, "max_tokens": 9}
    expected = KIT.evaluated(**changes)
    close(KIT.evaluated(batch=KIT.batch(extra=3), **changes), expected, rtol=1e-5, atol=1e-5)
    assert np.abs(expected["prediction"] - KIT.evaluated()["prediction"]).max() > 1e-3


@pytest.mark.parametrize("there", [("text",), ("audio", "vision"), ("text", "vision")], ids=str)
def test_of_absent_modalities_no_feature_is_read(there):
    outputs, params = KIT.made(there)
    width = sum(KIT.shapes[name][1] for name in there)
    assert params["norm"]["scale"].shape == (width,)
    assert params["lstm"]["layer_0"]["input"].shape[0] == width
    exports = ef_lstm.METHOD.export_names(ef_lstm.EFLSTMOptions(), KIT.inputs(there))
    assert set(exports) == set(outputs) - {"prediction"}


@pytest.mark.slow
def test_dropout_acts_in_training_alone():
    close(KIT.evaluated(dropout=0.5), KIT.evaluated(), rtol=0, atol=0)
    plain, dropped = KIT.trained(KIT.batch())[0], KIT.trained(KIT.batch(), dropout=0.5)[0]
    for name, value in plain.items():
        assert np.abs(value - dropped[name]).max() > 1e-3


# -- options ----------------------------------------------------------------------------------------------------------


def test_the_reference_protocol_can_be_set_and_differs_in_what_mmsa_does():
    reference = config.override(ef_lstm.EFLSTMOptions(), ef_lstm.METHOD.reference)
    assert (reference.padding, reference.time_norm, reference.alignment) == ("included", True, "contiguous")
    assert (reference.weight_decay_mode, reference.validation_mean) == ("coupled", "batches")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"hidden": 0}, "hidden is 0"),
        ({"layers": 0}, "layers is 0"),
        ({"time_norm": True}, "set padding to included"),
        ({"padding": "included"}, "set pack_text to false"),
    ],
)
def test_options_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        config.override(ef_lstm.EFLSTMOptions(), changes)


@pytest.mark.slow
def test_a_norm_of_time_steps_without_text_has_as_many_as_the_axis_in_training():
    """Also where the arrays of another split are longer or shorter."""
    there = ("audio", "vision")
    network, variables = KIT.network(there, **TIME_NORM), KIT.variables(there, **TIME_NORM)
    check_inputs(ef_lstm.METHOD, network.options, network.inputs)
    places = min(getattr(network.inputs, name).steps for name in there)
    assert variables["params"]["norm"]["scale"].shape == (places,)
    batch = KIT.batch(there)
    cut = {
        name: {**batch[name], "features": np.pad(batch[name]["features"], [(0, 0), (0, 3), (0, 0)])} for name in there
    }
    scores = [network.apply(variables, given, train=False)["prediction"] for given in (batch, {**batch, **cut})]
    np.testing.assert_allclose(*scores, atol=1e-6)


def test_alignment_can_be_required():
    required = config.override(ef_lstm.EFLSTMOptions(), {"alignment": "required"})
    with pytest.raises(InputError, match="needs aligned data"):
        check_inputs(ef_lstm.METHOD, required, Inputs(audio=SequenceInput(3, 2)))
