"""LF-LSTM: decisions, their mean, the joined form, its options."""

import numpy as np
import pytest

from msa_jax import config
from msa_jax.errors import InputError
from msa_jax.methods import lf_lstm
from tests.methods.network_kit import CHECKS, NetworkKit, close

# Quickly, such networks are shown by test_fusion_networks, test_memory_methods and test_ef_lstm.
pytestmark = pytest.mark.slow

ALL = ("text", "audio", "vision")
KIT = NetworkKit(
    lf_lstm.METHOD,
    {"text_hidden": 4, "audio_hidden": 3, "vision_hidden": 5, "fusion_hidden": 6, "dropout": 0.0},
    shapes={"text": (6, 8), "audio": (7, 5), "vision": (4, 3)},
    lengths={"text": [6, 2, 3, 1, 5], "audio": [7, 1, 4, 2, 3], "vision": [1, 4, 2, 3, 0]},
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_it_keeps_to_what_every_network_does(check):
    check(KIT)


def affine(x, layer):
    return np.asarray(x, np.float64) @ layer["kernel"] + layer["bias"]


def test_the_score_is_the_mean_of_the_decisions_and_each_is_linear_in_its_state():
    outputs, params = KIT.evaluated(), KIT.variables()["params"]
    for name in ALL:
        np.testing.assert_allclose(
            outputs[name], affine(outputs[f"{name}_state"], params[f"{name}_score"])[:, 0], rtol=1e-5, atol=1e-5
        )
    mean = np.mean([outputs[name] for name in ALL], axis=0)
    np.testing.assert_allclose(outputs["prediction"], mean, rtol=1e-5, atol=1e-6)
    assert np.ptp(outputs["prediction"]) > 0.05


def test_each_state_is_that_of_the_last_frame_of_its_own_modality():
    whole, states = KIT.batch(), KIT.evaluated()
    for name in ALL:
        batch = KIT.batch()
        for other in ALL:
            if other != name:
                batch[other]["features"] = batch[other]["features"] + np.float32(1.0)
        np.testing.assert_array_equal(KIT.evaluated(batch=batch)[f"{name}_state"], states[f"{name}_state"])
    whole["audio"]["features"][0, 6] += 1.0  # the last of seven frames
    assert np.abs(KIT.evaluated(batch=whole)["audio_state"][0] - states["audio_state"][0]).max() > 1e-3
    np.testing.assert_array_equal(states["vision_state"][4], 0)  # no frame


def test_states_can_be_joined_instead():
    outputs, params = KIT.evaluated(combine="concat"), KIT.variables(combine="concat")["params"]
    joined = np.concatenate([outputs[f"{name}_state"] for name in ALL], axis=1)
    hidden = np.maximum(affine(joined, params["linear"]), 0)
    np.testing.assert_allclose(outputs["representation"], hidden, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(outputs["prediction"], affine(hidden, params["score"])[:, 0], rtol=1e-5, atol=1e-5)
    assert not set(ALL) & set(outputs)


@pytest.mark.parametrize("combine", ["mean", "concat"])
@pytest.mark.parametrize("there", [("text",), ("audio", "vision"), ALL], ids=str)
def test_outputs_are_those_of_the_modalities_there_are(there, combine):
    options = config.override(lf_lstm.LFLSTMOptions(), {"combine": combine})
    outputs, params = KIT.made(there, combine=combine)
    heads = lf_lstm.METHOD.head_names(options, KIT.inputs(there))
    exports = lf_lstm.METHOD.export_names(options, KIT.inputs(there))
    assert set(outputs) == {*heads, *exports}
    assert {"text_lstm", "audio_encoder", "vision_encoder"} & set(params) == {
        "text_lstm" if name == "text" else f"{name}_encoder" for name in there
    }


def test_dropout_acts_in_training_alone():
    close(KIT.evaluated(dropout=0.5), KIT.evaluated(), rtol=0, atol=0)
    plain, dropped = KIT.trained(KIT.batch())[0], KIT.trained(KIT.batch(), dropout=0.5)[0]
    for name in (*ALL, "prediction"):
        assert np.abs(plain[name] - dropped[name]).max() > 1e-3


def test_nobody_published_code_that_it_could_refer_to():
    assert not lf_lstm.METHOD.reference


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"audio_hidden": 0}, "audio_hidden is 0"),
        ({"fusion_hidden": -1}, "fusion_hidden is -1"),
        ({"combine": "vote"}, "expected one of mean, concat"),
    ],
)
def test_options_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        config.override(lf_lstm.LFLSTMOptions(), changes)
