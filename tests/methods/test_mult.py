"""MulT: what its network computes, what padding leaves alone, absent modalities, options."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from msa_jax import config
from msa_jax.errors import InputError
from msa_jax.methods import mult
from msa_jax.methods.protocol import Inputs, SequenceInput, Step, TextInput
from tests.methods.cases import add_frames, params_far_from_start
from tests.quick import quick_jit

SHAPES = {"text": (6, 8), "audio": (9, 5), "vision": (5, 3)}
LENGTHS = {"text": [6, 2, 3, 1, 5], "audio": [9, 1, 4, 2, 3], "vision": [1, 5, 2, 3, 0]}
ALL = ("text", "audio", "vision")
SMALL = {"width": 4, "heads": 2, "layers": 1, "kernels.audio": 3, "kernels.vision": 2}


def inputs_of(there=ALL) -> Inputs:
    text = TextInput(width=SHAPES["text"][1], steps=SHAPES["text"][0]) if "text" in there else None
    return Inputs(text=text, **{name: SequenceInput(*SHAPES[name]) for name in ("audio", "vision") if name in there})


def batch_of(there=ALL, *, rows=5, extra=0, fill=0.0) -> dict:
    label = np.random.default_rng(1).uniform(-3, 3, 5).astype(np.float32)[:rows]
    batch = {"label": label, "weight": np.ones(rows, np.float32), "row": np.arange(rows, dtype=np.int32)}
    return add_frames(batch, there, SHAPES, LENGTHS, rows=rows, extra=extra, fill=fill)


def network_of(there=ALL, *, dtype=jnp.float32, **changes) -> mult.MulTNetwork:
    return mult.MulTNetwork(config.override(mult.MulTOptions(), {**SMALL, **changes}), inputs_of(there), dtype)


@functools.cache
def params_of(there=ALL) -> dict:
    return params_far_from_start(network_of(there), batch_of(there))


def evaluated(there=ALL, batch=None, params=None, **changes) -> dict:
    network = network_of(there, **changes)
    apply = quick_jit(lambda params, batch: network.apply({"params": params}, batch, train=False))
    return apply(params or params_of(there), batch or batch_of(there))


def mosi(options: mult.MulTOptions) -> int:
    """The number of parameters at MOSI's sizes."""
    inputs = Inputs(
        text=TextInput(width=768, steps=50), audio=SequenceInput(steps=375, width=5),
        vision=SequenceInput(steps=500, width=20),
    )  # fmt: skip
    batch = {
        "text": {"features": np.zeros((1, 50, 768), np.float32), "mask": np.ones((1, 50), np.int32)},
        "audio": {"features": np.zeros((1, 375, 5), np.float32), "length": np.ones(1, np.int32)},
        "vision": {"features": np.zeros((1, 500, 20), np.float32), "length": np.ones(1, np.int32)},
    }
    network = mult.MulTNetwork(options, inputs)
    made = jax.eval_shape(lambda: network.init(jax.random.key(0), batch, train=False))["params"]
    return sum(leaf.size for leaf in jax.tree.leaves(made))


def test_the_network_of_mosi_has_the_parameters_of_mmsa():
    sizes = {"width": 50, "kernels.text": 5, "kernels.audio": 5, "kernels.vision": 5}
    assert mosi(config.override(mult.MulTOptions(), {**mult.REFERENCE, **sizes})) == 2_571_551


@pytest.mark.parametrize("fill", [pytest.param(0.0, marks=pytest.mark.slow), 9.0])
def test_padding_changes_nothing(fill):
    expected, more = evaluated(), evaluated(batch=batch_of(extra=3, fill=fill))
    for name, value in expected.items():
        np.testing.assert_allclose(more[name], value, rtol=1e-4, atol=1e-5, err_msg=name)


def test_padding_is_read_as_data_where_that_is_asked_for():
    changes = {"padding": "included", "pack_text": False, "max_tokens": 6}
    whole = batch_of()
    whole["text"]["mask"][:] = 1
    for name in ("audio", "vision"):
        whole[name]["length"][:] = SHAPES[name][0]
    np.testing.assert_allclose(
        evaluated(**changes)["prediction"], evaluated(batch=whole)["prediction"], rtol=1e-4, atol=1e-5
    )
    assert np.abs(evaluated()["prediction"] - evaluated(batch=whole)["prediction"]).max() > 1e-3


@pytest.mark.parametrize(("positions", "same"), [(False, True), pytest.param(True, False, marks=pytest.mark.slow)])
def test_without_positions_what_is_read_has_no_order(positions, same):
    # Kernels of one step, so that no convolution sees the order either; text alone is asked.
    there, changes = ("text", "audio"), {"positions": positions, "kernels.audio": 1}
    network = network_of(there, **changes)
    batch = batch_of(there)
    params = params_far_from_start(network, batch)
    turned = batch_of(there)
    for row, length in enumerate(turned["audio"]["length"]):
        turned["audio"]["features"][row, :length] = turned["audio"]["features"][row, :length][::-1]
    one, other = (evaluated(there, each, params, **changes)["text_embedding"] for each in (batch, turned))
    assert (np.abs(one - other).max() < 1e-5) == same


def test_the_mask_over_future_steps_hides_what_comes_later():
    changes = {"future_mask": "offset", "padding": "included", "pack_text": False, "max_tokens": 6}
    there = ("audio", "vision")
    network = network_of(there, **changes)
    params = params_far_from_start(network, batch_of(there))
    states = {}
    for later in (0.0, 5.0):  # the last frames of vision: behind the convolutions audio has 7 steps and vision 4
        batch = batch_of(there)
        batch["vision"]["features"][:, -1] = later
        _, kept = network.apply({"params": params}, batch, train=False, capture_intermediates=True)
        states[later] = np.asarray(kept["intermediates"]["audio_from_vision"]["__call__"][0])
    changed = np.abs(states[0.0] - states[5.0]).max((0, 2))
    # Step i of audio sees step j of vision where j <= i + 3, so every one sees the last of four.
    assert (changed > 1e-5).all()
    states = {}
    for later in (0.0, 5.0):
        batch = batch_of(there)
        batch["audio"]["features"][:, -1] = later
        _, kept = network.apply({"params": params}, batch, train=False, capture_intermediates=True)
        states[later] = np.asarray(kept["intermediates"]["vision_from_audio"]["__call__"][0])
    changed = np.abs(states[0.0] - states[5.0]).max((0, 2))
    np.testing.assert_array_equal(changed > 1e-5, [False, False, False, True])  # j = 6 <= i + 3 for i = 3 alone


@pytest.mark.parametrize(
    "there", [("text",), ("audio", "vision"), pytest.param(("text", "vision"), marks=pytest.mark.slow)], ids=str
)
def test_absent_modalities_have_no_encoders(there):
    outputs = evaluated(there)
    owners = set(params_of(there))
    pairs = {f"{one}_from_{other}" for one in there for other in there if one != other}
    assert pairs | {f"{name}_memory" for name in there} | {f"{name}_projection" for name in there} <= owners
    assert len(owners) == len(pairs) + 2 * len(there) + 1
    assert outputs["representation"].shape == (5, 4 * max(len(pairs), 1))
    assert set(mult.METHOD.export_names(mult.MulTOptions(), inputs_of(there))) == set(outputs) - {"prediction"}


def test_a_modality_of_the_right_width_has_no_convolution():
    assert "audio_projection" not in params_far_from_start(network_of(width=5, heads=1), batch_of())


def test_every_parameter_has_a_gradient_and_dropout_acts_in_training_alone():
    network, batch = network_of(), batch_of()

    def total(params, train):
        outputs = network.apply({"params": params}, batch, train=train, rngs={"dropout": jax.random.key(3)})
        step = Step(outputs, batch, {}, None, None, {})
        return mult.objective(step, network.options, network.inputs)[0]["multimodal"].sum(), outputs["prediction"]

    gradient, dropped = quick_jit(jax.grad(lambda params: total(params, True), has_aux=True))(params_of())
    for path, value in flatten_dict(gradient, sep="/").items():
        assert np.abs(value).max() > 0, path
    assert np.abs(dropped - evaluated()["prediction"]).max() > 1e-3


@pytest.mark.slow  # what the conformance suite checks too
def test_a_batch_of_one_is_the_same_alone_and_bfloat16_is_near():
    exact = evaluated()["prediction"]
    np.testing.assert_allclose(evaluated(batch=batch_of(rows=1))["prediction"], exact[:1], rtol=1e-5, atol=1e-5)
    near = evaluated(dtype=jnp.bfloat16)["prediction"]
    assert near.dtype == jnp.float32
    np.testing.assert_allclose(near, exact, atol=0.3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 41}, "option width is 41; expected a multiple of heads, 10"),
        ({"attention_dropout.audio": 1.0}, "attention_dropout.audio is 1.0"),
        ({"kernels.text": 0}, "kernels.text is 0"),
        ({"padding": "included"}, "set pack_text to false"),
        ({"future_mask": "all"}, "expected one of none, offset"),
    ],
)
def test_options_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        config.override(mult.MulTOptions(), changes)
