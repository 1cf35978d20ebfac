"""SPT: its head and outputs, what padding leaves alone, absent modalities, options. The encoder has tests of its own."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from msa_jax import config
from msa_jax.errors import InputError
from msa_jax.methods import spt
from msa_jax.methods.protocol import Inputs, SequenceInput, Step, TextInput
from tests.methods.cases import add_frames, params_far_from_start
from tests.quick import quick_jit

SHAPES = {"text": (6, 8), "audio": (9, 5), "vision": (5, 3)}
LENGTHS = {"text": [6, 2, 3, 1, 5], "audio": [9, 1, 4, 2, 3], "vision": [1, 5, 2, 3, 0]}
ALL = ("text", "audio", "vision")
SMALL = {"spt.width": 4, "spt.heads": 2, "spt.iterations": 2}


def inputs_of(there=ALL) -> Inputs:
    text = TextInput(width=SHAPES["text"][1], steps=SHAPES["text"][0]) if "text" in there else None
    return Inputs(text=text, **{name: SequenceInput(*SHAPES[name]) for name in ("audio", "vision") if name in there})


def batch_of(there=ALL, *, extra=0, fill=0.0) -> dict:
    label = np.random.default_rng(1).uniform(-3, 3, 5).astype(np.float32)
    batch = {"label": label, "weight": np.ones(5, np.float32), "row": np.arange(5, dtype=np.int32)}
    return add_frames(batch, there, SHAPES, LENGTHS, rows=5, extra=extra, fill=fill)


def network_of(there=ALL, **changes) -> spt.SPTNetwork:
    return spt.SPTNetwork(config.override(spt.SPTOptions(), {**SMALL, **changes}), inputs_of(there))


@functools.cache
def params_of(there=ALL) -> dict:
    return params_far_from_start(network_of(there), batch_of(there))


def evaluated(there=ALL, batch=None, **changes) -> dict:
    network = network_of(there, **changes)
    apply = quick_jit(lambda params, batch: network.apply({"params": params}, batch, train=False))
    return apply(params_of(there), batch or batch_of(there))


def test_the_head_has_the_parameters_of_the_authors():
    batch, inputs = batch_of(), inputs_of()
    network = spt.SPTNetwork(spt.SPTOptions(), inputs)
    made = jax.eval_shape(lambda: network.init(jax.random.key(0), batch, train=False))["params"]["head"]
    assert sum(leaf.size for leaf in jax.tree.leaves(made)) == 18_721


def test_the_score_is_a_line_over_the_states_in_the_order_text_audio_vision():
    outputs, head = evaluated(), jax.tree.map(np.asarray, params_of()["head"])
    z = np.concatenate([outputs[f"{name}_embedding"] for name in ALL], -1)
    first, second = head["residual"]["hidden"], head["residual"]["output"]
    z = z + np.maximum(z @ first["kernel"] + first["bias"], 0) @ second["kernel"] + second["bias"]
    np.testing.assert_allclose(outputs["representation"], z, rtol=1e-4, atol=1e-5)
    score = (z @ head["score"]["kernel"] + head["score"]["bias"])[:, 0]
    np.testing.assert_allclose(outputs["prediction"], score, rtol=1e-4, atol=1e-5)


def test_padding_changes_nothing_unless_it_is_read():
    expected = evaluated()
    for fill in (0.0, 9.0):
        more = evaluated(batch=batch_of(extra=3, fill=fill))
        for name, value in expected.items():
            np.testing.assert_allclose(more[name], value, rtol=1e-4, atol=1e-5, err_msg=name)
    read = evaluated(padding="included", pack_text=False, max_tokens=6)["prediction"]
    assert np.abs(read - expected["prediction"]).max() > 1e-3


@pytest.mark.parametrize("there", [("text",), ("audio", "vision")], ids=str)
def test_absent_modalities_have_no_state(there):
    outputs = evaluated(there)
    assert set(spt.METHOD.export_names(spt.SPTOptions(), inputs_of(there))) == set(outputs) - {"prediction"}
    assert outputs["representation"].shape == (5, 4 * len(there))
    assert np.isfinite(outputs["prediction"]).all()


def test_every_parameter_has_a_gradient():
    network, batch = network_of(), batch_of()

    def total(params):
        outputs = network.apply({"params": params}, batch, train=True, rngs={"dropout": jax.random.key(3)})
        step = Step(outputs, batch, {}, None, None, {})
        return spt.objective(step, network.options, network.inputs)[0]["multimodal"].sum()

    for path, value in flatten_dict(quick_jit(jax.grad(total))(params_of()), sep="/").items():
        assert jnp.abs(value).max() > 0, path


def test_the_reference_protocol_shifts_no_input_window_and_reads_padding():
    reference = config.override(spt.SPTOptions(), spt.REFERENCE)
    assert (reference.spt.input_shift, spt.SPTOptions().spt.input_shift) == ("", "SPR")
    assert (reference.padding, reference.pack_text) == ("included", False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"padding": "included"}, "set pack_text to false"), ({"output_dropout": 1.0}, "output_dropout is 1.0")],
)
def test_options_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        config.override(spt.SPTOptions(), changes)
