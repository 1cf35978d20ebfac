"""TETFN: what its network computes, what padding leaves alone, absent modalities, options."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax import config
from msa_jax.errors import InputError
from msa_jax.layers.alignment import align
from msa_jax.methods import tetfn
from msa_jax.methods.protocol import Inputs, SequenceInput, TextInput
from tests.methods.cases import add_frames, params_far_from_start
from tests.quick import quick_jit

SHAPES = {"text": (6, 8), "audio": (9, 5), "vision": (5, 3)}
LENGTHS = {"text": [6, 2, 3, 1, 5], "audio": [9, 1, 4, 2, 3], "vision": [1, 5, 2, 3, 0]}
ALL = ("text", "audio", "vision")
SMALL = {
    "audio_hidden": 3, "vision_hidden": 4, "width": 4, "heads": 2, "layers": 1, "kernels.audio": 3, "kernels.vision": 2,
    "feature_size.m": 5, "feature_size.t": 4, "feature_size.a": 3, "feature_size.v": 2,
}  # fmt: skip


def inputs_of(there=ALL) -> Inputs:
    text = TextInput(width=SHAPES["text"][1], steps=SHAPES["text"][0]) if "text" in there else None
    return Inputs(text=text, **{name: SequenceInput(*SHAPES[name]) for name in ("audio", "vision") if name in there})


def batch_of(there=ALL, *, extra=0, fill=0.0) -> dict:
    label = np.random.default_rng(1).uniform(-3, 3, 5).astype(np.float32)
    batch = {"label": label, "weight": np.ones(5, np.float32), "row": np.arange(5, dtype=np.int32)}
    return add_frames(batch, there, SHAPES, LENGTHS, rows=5, extra=extra, fill=fill)


def network_of(there=ALL, **changes) -> tetfn.TETFNNetwork:
    return tetfn.TETFNNetwork(config.override(tetfn.TETFNOptions(), {**SMALL, **changes}), inputs_of(there))


@functools.cache
def params_of(there=ALL) -> dict:
    return params_far_from_start(network_of(there), batch_of(there))


def evaluated(there=ALL, batch=None, **changes) -> dict:
    network = network_of(there, **changes)
    apply = quick_jit(lambda params, batch: network.apply({"params": params}, batch, train=False))
    return apply(params_of(there), batch or batch_of(there))


@pytest.mark.slow
def test_between_audio_and_vision_the_text_comes_first():
    pairs = {name.removesuffix("_lower").removesuffix("_upper") for name in params_of() if "_from_" in name}
    assert pairs == {f"{one}_from_{other}" for one in ALL for other in ALL if one != other}
    enhanced = {name for name in params_of() if name.endswith(("_lower", "_upper"))}
    assert enhanced == {
        f"{p}_{half}" for p in ("audio_from_vision", "vision_from_audio") for half in ("lower", "upper")
    }
    assert {name for name in params_of(("audio", "vision")) if "_from_" in name} == {
        "audio_from_vision",
        "vision_from_audio",
    }


@pytest.mark.slow
@pytest.mark.parametrize("fill", [0.0, 9.0])
def test_padding_changes_nothing(fill):
    expected, more = evaluated(), evaluated(batch=batch_of(extra=3, fill=fill))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), more, expected)


@pytest.mark.slow
def test_padding_is_read_as_data_where_that_is_asked_for():
    changes = {"padding": "included", "pack_text": False, "max_tokens": 6}
    whole = batch_of()
    whole["text"]["mask"][:] = 1
    for name in ("audio", "vision"):
        whole[name]["length"][:] = SHAPES[name][0]
    read, plain = evaluated(batch=whole), evaluated()
    found = evaluated(**changes)
    # The LSTM ends where the sequence does in both.
    np.testing.assert_allclose(found["text"], read["text"], rtol=1e-4, atol=1e-5)
    assert np.abs(found["prediction"] - plain["prediction"]).max() > 1e-3


@pytest.mark.slow
def test_audio_and_vision_are_averaged_onto_the_tokens_where_that_is_asked_for():
    batch, shapes = batch_of(), inputs_of()
    tokens, steps = np.array(LENGTHS["text"], np.int32), SHAPES["text"][0]
    aligned = batch_of()
    for name in ("audio", "vision"):
        given = batch[name]
        padded = SHAPES[name][0], steps
        features = align(given["features"], given["length"], tokens, steps, alignment="contiguous", padded=padded)
        aligned[name] = {"features": features, "length": tokens}
    found = evaluated(alignment="contiguous")
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), found, evaluated(batch=aligned))
    assert jnp.abs(found["prediction"] - evaluated()["prediction"]).max() > 1e-4
    # Data that are aligned stay as they are.
    options = config.override(tetfn.TETFNOptions(), {**SMALL, "alignment": "contiguous"})
    network = tetfn.TETFNNetwork(options, dataclasses.replace(shapes, aligned=True))
    plain = network.apply({"params": params_of()}, batch, train=False)
    np.testing.assert_allclose(plain["prediction"], evaluated()["prediction"], rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_a_unimodal_task_reads_the_largest_value_over_valid_steps():
    there = ("text",)
    params, batch = params_of(there), batch_of(there)
    kernel = np.asarray(params["text_projection"]["kernel"])[0]
    valid = np.arange(6)[None] < np.array(LENGTHS["text"])[:, None]
    projected = np.where(valid[..., None], np.asarray(batch["text"]["features"]) @ kernel, -np.inf)
    head = jax.tree.map(np.asarray, params["text_head"])
    feature = np.maximum(projected.max(1) @ head["feature"]["kernel"] + head["feature"]["bias"], 0)
    np.testing.assert_allclose(evaluated(there)["features"]["t"], feature, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("there", [("audio", "vision"), ("text", "vision")], ids=str)
def test_absent_modalities_have_no_encoder_and_no_task(there):
    outputs = evaluated(there)
    heads = tetfn.METHOD.head_names(tetfn.TETFNOptions(), inputs_of(there))
    assert heads == ("prediction", *there)
    assert all(outputs[name].shape == (5,) and np.isfinite(outputs[name]).all() for name in heads)


@pytest.mark.slow
def test_positions_of_the_text_enhanced_transformers_stay_in_the_reference_protocol():
    one, other = evaluated(positions="all"), evaluated(positions="enhanced")
    assert jnp.abs(one["prediction"] - other["prediction"]).max() > 1e-4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 41}, "option width is 41; expected a multiple of heads, 5"),
        ({"kernels.text": 0}, "kernels.text is 0"),
        ({"kernels.text": 1.5}, "kernels.text is 1.5"),
        ({"padding": "included"}, "set pack_text to false"),
    ],
)
def test_options_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        config.override(tetfn.TETFNOptions(), changes)
