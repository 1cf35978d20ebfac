"""MulT: what its network computes, what padding leaves alone, absent modalities, options."""

import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax import config
from msa_jax.errors import InputError
from msa_jax.methods import mult
from msa_jax.methods.shared.sequences import sequences_of
from tests.methods.cases import made_by_mmsa_preset, parameter_count
from tests.methods.network_kit import CHECKS, NetworkKit, close

SHAPES = {"text": (6, 8), "audio": (9, 5), "vision": (5, 3)}
LENGTHS = {"text": [6, 2, 3, 1, 5], "audio": [9, 1, 4, 2, 3], "vision": [1, 5, 2, 3, 0]}
ALL = ("text", "audio", "vision")
OFF = (
    "input_dropout", "hidden_dropout", "residual_dropout", "text_dropout", "output_dropout", "attention_dropout.text",
    "attention_dropout.audio", "attention_dropout.vision",
)  # fmt: skip
SMALL = {
    "width": 4, "heads": 2, "layers": 1, "kernels.audio": 3, "kernels.vision": 2, **dict.fromkeys(OFF, 0.0)
}  # fmt: skip
INCLUDED = {"padding": "included", "pack_text": False, "max_tokens": 6}


KIT = NetworkKit(mult.METHOD, SMALL, SHAPES, LENGTHS)


@pytest.mark.parametrize(("dataset", "count"), [("mosi", 2_571_551), ("mosei", 982_951), ("sims", 1_870_701)])
def test_a_preset_of_mmsa_has_its_parameters(dataset, count):
    assert parameter_count(made_by_mmsa_preset(f"mult_{dataset}_mmsa")[1]) == count


@pytest.mark.slow
def test_padding_changes_nothing():
    close(KIT.evaluated(batch=KIT.batch(extra=3, fill=9.0)), KIT.evaluated(), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_network_keeps_to_what_all_such_networks_do(check):
    check(KIT)


@pytest.mark.slow
def test_padding_is_read_as_data_where_that_is_asked_for():
    changes = INCLUDED
    whole = KIT.batch()
    whole["text"]["mask"][:] = 1
    for name in ("audio", "vision"):
        whole[name]["length"][:] = SHAPES[name][0]
    np.testing.assert_allclose(
        KIT.evaluated(**changes)["prediction"], KIT.evaluated(batch=whole)["prediction"], rtol=1e-4, atol=1e-5
    )
    assert np.abs(KIT.evaluated()["prediction"] - KIT.evaluated(batch=whole)["prediction"]).max() > 1e-3


def test_padding_that_is_read_reaches_to_training_s_longest_whatever_the_arrays_have():
    inputs, options = KIT.inputs(("audio", "vision")), config.override(mult.MulTOptions(), INCLUDED)
    batch = KIT.batch(("audio", "vision"), extra=3)
    longer = {**batch, "audio": {**batch["audio"], "length": batch["audio"]["length"] + 2}}
    shorter = KIT.batch(("audio", "vision"))
    shorter["vision"] = {
        "features": shorter["vision"]["features"][:, :3],
        "length": shorter["vision"]["length"].clip(max=3),
    }
    for given in (batch, longer, shorter):
        found, length = sequences_of(options, inputs, given, jnp.float32, included=True, train=False)
        for name, sequence in found.items():
            steps = SHAPES[name][0]
            own = np.minimum(given[name]["length"], steps)
            np.testing.assert_array_equal(length[name], own)
            want = np.zeros((5, steps, SHAPES[name][1]), np.float32)
            for row, count in enumerate(own):
                want[row, :count] = given[name]["features"][row, :count]
            np.testing.assert_array_equal(sequence, want)


@pytest.mark.parametrize(("positions", "same"), [(False, True), pytest.param(True, False, marks=pytest.mark.slow)])
def test_without_positions_what_is_read_has_no_order(positions, same):
    # Kernels of one step, so that no convolution sees the order either; text alone is asked.
    there, changes = ("text", "audio"), {"positions": positions, "kernels.audio": 1}
    batch = KIT.batch(there)
    turned = KIT.batch(there)
    for row, length in enumerate(turned["audio"]["length"]):
        turned["audio"]["features"][row, :length] = turned["audio"]["features"][row, :length][::-1]
    one, other = (KIT.evaluated(there, each, **changes)["text_embedding"] for each in (batch, turned))
    assert (np.abs(one - other).max() < 1e-5) == same


@pytest.mark.slow
def test_the_mask_over_future_steps_hides_what_comes_later():
    changes = {"future_mask": "offset", **INCLUDED}
    there = ("audio", "vision")
    network, variables = KIT.network(there, **changes), KIT.variables(there, **changes)
    states = {}
    for later in (0.0, 5.0):  # the last frames of vision: behind the convolutions audio has 7 steps and vision 4
        batch = KIT.batch(there)
        batch["vision"]["features"][:, -1] = later
        _, kept = network.apply(variables, batch, train=False, capture_intermediates=True)
        states[later] = np.asarray(kept["intermediates"]["audio_from_vision"]["__call__"][0])
    changed = np.abs(states[0.0] - states[5.0]).max((0, 2))
    # Step i of audio sees step j of vision where j <= i + 3, so every one sees the last of four.
    assert (changed > 1e-5).all()
    states = {}
    for later in (0.0, 5.0):
        batch = KIT.batch(there)
        batch["audio"]["features"][:, -1] = later
        _, kept = network.apply(variables, batch, train=False, capture_intermediates=True)
        states[later] = np.asarray(kept["intermediates"]["vision_from_audio"]["__call__"][0])
    changed = np.abs(states[0.0] - states[5.0]).max((0, 2))
    np.testing.assert_array_equal(changed > 1e-5, [False, False, False, True])  # j = 6 <= i + 3 for i = 3 alone


@pytest.mark.parametrize(
    "there", [("text",), ("audio", "vision"), pytest.param(("text", "vision"), marks=pytest.mark.slow)], ids=str
)
def test_absent_modalities_have_no_encoders(there):
    outputs = KIT.evaluated(there)
    owners = set(KIT.variables(there)["params"])
    pairs = {f"{one}_from_{other}" for one in there for other in there if one != other}
    assert pairs | {f"{name}_memory" for name in there} | {f"{name}_projection" for name in there} <= owners
    assert len(owners) == len(pairs) + 2 * len(there) + 1
    assert outputs["representation"].shape == (5, 4 * max(len(pairs), 1))
    assert set(mult.METHOD.export_names(mult.MulTOptions(), KIT.inputs(there))) == set(outputs) - {"prediction"}


def test_a_modality_of_the_right_width_has_no_convolution():
    assert "audio_projection" not in KIT.made(width=5, heads=1)[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", OFF)
def test_dropout_of_each_place_acts_in_training_alone(name):
    dropped = KIT.trained(KIT.batch(), **{name: 0.5})[0]["prediction"]
    assert np.abs(dropped - KIT.trained(KIT.batch())[0]["prediction"]).max() > 1e-4
    np.testing.assert_array_equal(KIT.evaluated(**{name: 0.5})["prediction"], KIT.evaluated()["prediction"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 41}, "option width is 41; expected a multiple of heads, 10"),
        ({"attention_dropout.audio": 1.0}, "attention_dropout.audio is 1.0"),
        ({"kernels.text": 0}, "kernels.text is 0"),
        ({"padding": "included"}, "set pack_text to false"),
        ({"future_mask": "all"}, "expected one of none, offset"),
        (
            {"future_mask": "offset"},
            "future_mask is offset, which counts padded steps; set padding to included with it",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        config.override(mult.MulTOptions(), changes)
