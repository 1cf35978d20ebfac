"""TFN: what its network computes, what padding and samples of weight 0 leave alone, its options and parameter groups."""

import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from msa_jax import config
from msa_jax.encoders.bert import BertConfig
from msa_jax.errors import InputError
from msa_jax.methods import tfn
from msa_jax.methods.protocol import STATISTICS, Clock, Inputs, SequenceInput, Step, TextInput
from tests.methods.cases import add_frames, params_far_from_start
from tests.quick import quick_jit

SHAPES = {"text": (6, 8), "audio": (7, 5), "vision": (4, 3)}
LENGTHS = {"text": [6, 2, 3, 1, 5], "audio": [7, 1, 4, 2, 3], "vision": [1, 4, 2, 3, 0]}
ALL = ("text", "audio", "vision")
SMALL = {
    "text_hidden": 4, "text_size": 3, "audio_size": 3, "vision_size": 4, "fusion_hidden": 6, "dropout.audio": 0.0,
    "dropout.vision": 0.0, "dropout.fusion": 0.0,
}  # fmt: skip


def inputs_of(there=ALL, label_range=(-3.0, 3.0)) -> Inputs:
    text = TextInput(width=SHAPES["text"][1], steps=SHAPES["text"][0]) if "text" in there else None
    sequences = {name: SequenceInput(*SHAPES[name]) for name in ("audio", "vision") if name in there}
    return Inputs(text=text, **sequences, label_range=label_range)


def batch_of(there=ALL, *, rows=5, extra=0, fill=0.0) -> dict:
    label = np.random.default_rng(1).uniform(-3, 3, 5).astype(np.float32)[:rows]
    batch = {"label": label, "weight": np.ones(rows, np.float32), "row": np.arange(rows, dtype=np.int32)}
    return add_frames(batch, there, SHAPES, LENGTHS, rows=rows, extra=extra, fill=fill)


def network_of(there=ALL, *, dtype=jnp.float32, label_range=(-3.0, 3.0), **changes) -> tfn.TFNNetwork:
    options = config.override(tfn.TFNOptions(), {**SMALL, **changes})
    return tfn.TFNNetwork(options, inputs_of(there, label_range), dtype)


@functools.cache
def variables_of(there=ALL) -> dict:
    """Parameters and running statistics far from where they start."""
    network, batch = network_of(there), batch_of(there)
    shapes = jax.eval_shape(lambda: network.init(jax.random.key(0), batch, train=False)).get(STATISTICS, {})
    rng = np.random.default_rng(5)
    statistics = jax.tree.map(lambda leaf: rng.uniform(0.5, 2, leaf.shape).astype(np.float32), shapes)
    return {"params": params_far_from_start(network, batch), STATISTICS: statistics}


def evaluated(there=ALL, batch=None, **changes) -> dict:
    network = network_of(there, **changes)
    apply = quick_jit(lambda variables, batch: network.apply(variables, batch, train=False))
    return apply(variables_of(there), batch or batch_of(there))


def trained(batch: dict, there=ALL, **changes) -> tuple[dict, dict, dict]:
    """A training step: outputs, running statistics after it, the gradient of the mean loss over what counts."""
    network, variables = network_of(there, **changes), variables_of(there)

    def total(params):
        rngs = {"dropout": jax.random.key(3)}
        outputs, moved = network.apply(
            {**variables, "params": params}, batch, train=True, mutable=[STATISTICS], rngs=rngs
        )
        step = Step(outputs, batch, {}, Clock(jnp.int32(1), jnp.int32(0)), jax.random.key(4), {})
        terms, _ = tfn.objective(step, network.options, network.inputs)
        loss = jnp.where(batch["weight"] > 0, terms["multimodal"], 0)
        return loss.sum() / batch["weight"].sum(), (outputs, moved[STATISTICS])

    gradient, (outputs, moved) = quick_jit(jax.grad(total, has_aux=True))(variables["params"])
    return outputs, moved, gradient


def close(one, two, **tolerance) -> None:
    for path, value in flatten_dict(one, sep="/").items():
        np.testing.assert_allclose(value, flatten_dict(two, sep="/")[path], err_msg=path, **tolerance)


# -- the network ------------------------------------------------------------------------------------------------------


def test_the_network_of_mosi_has_the_parameters_of_mmsa():
    inputs = Inputs(
        text=TextInput(width=768, steps=50), audio=SequenceInput(steps=375, width=5),
        vision=SequenceInput(steps=500, width=20),
    )  # fmt: skip
    network = tfn.TFNNetwork(config.override(tfn.TFNOptions(), tfn.REFERENCE), inputs)
    batch = {
        "text": {"features": np.zeros((1, 50, 768), np.float32), "mask": np.ones((1, 50), np.int32)},
        "audio": {"features": np.zeros((1, 375, 5), np.float32), "length": np.ones(1, np.int32)},
        "vision": {"features": np.zeros((1, 500, 20), np.float32), "length": np.ones(1, np.int32)},
    }
    made = jax.eval_shape(lambda: network.init(jax.random.key(0), batch, train=False))
    assert sum(leaf.size for leaf in jax.tree.leaves(made["params"])) == 9_497_043


def test_the_score_is_three_layers_and_a_sigmoid_behind_the_outer_product_of_the_embeddings():
    outputs, head = evaluated(), jax.tree.map(np.asarray, variables_of()["params"]["fusion_head"])
    audio, vision, text = (outputs[f"{name}_embedding"] for name in ("audio", "vision", "text"))
    one = np.ones((5, 1), np.float32)
    fused = np.einsum("ba,bv,bt->bavt", *(np.concatenate([one, z], 1, dtype=np.float64) for z in (audio, vision, text)))
    hidden = fused.reshape(5, -1)
    np.testing.assert_allclose(outputs["fused"], hidden, rtol=1e-5, atol=1e-6)
    for name in ("linear_1", "linear_2"):
        hidden = np.maximum(hidden @ head[name]["kernel"] + head[name]["bias"], 0)
    np.testing.assert_allclose(outputs["representation"], hidden, rtol=1e-4, atol=1e-4)
    score = (hidden @ head["score"]["kernel"] + head["score"]["bias"])[:, 0]
    np.testing.assert_allclose(outputs["prediction"], 6 / (1 + np.exp(-score)) - 3, rtol=1e-4, atol=1e-4)
    assert np.ptp(outputs["prediction"]) > 0.1


@pytest.mark.slow
def test_vision_that_is_embedded_as_zeros_leaves_the_product_of_text_and_audio():
    variables = jax.tree.map(jnp.array, variables_of())
    last = variables["params"]["vision_encoder"]["linear_3"]
    last["kernel"], last["bias"] = jnp.zeros_like(last["kernel"]), jnp.full_like(last["bias"], -1.0)
    outputs = network_of().apply(variables, batch_of(), train=False)
    np.testing.assert_array_equal(outputs["vision_embedding"], 0)
    audio, text = (
        np.pad(outputs[f"{name}_embedding"], [(0, 0), (1, 0)], constant_values=1) for name in ("audio", "text")
    )
    fused = np.asarray(outputs["fused"]).reshape(5, 4, 5, 4)
    np.testing.assert_allclose(fused[:, :, 0], audio[:, :, None] * text[:, None, :], rtol=1e-6)
    np.testing.assert_array_equal(fused[:, :, 1:], 0)


@pytest.mark.parametrize("label_range", [(-1.0, 1.0), (-3.0, 3.0), (0.0, 5.0)])
def test_the_score_stays_in_the_label_range_and_in_the_published_one_where_that_is_asked_for(label_range):
    ours = evaluated(label_range=label_range)["prediction"]
    published = evaluated(label_range=label_range, output_range="published")["prediction"]
    raw = np.asarray(evaluated(label_range=label_range, squash=False)["prediction"])
    sigmoid = 1 / (1 + np.exp(-raw))
    low, high = label_range
    np.testing.assert_allclose(ours, low + (high - low) * sigmoid, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(published, 6 * sigmoid - 3, rtol=1e-5, atol=1e-5)
    assert ours.min() >= low
    assert ours.max() <= high


@pytest.mark.slow
@pytest.mark.parametrize("there", [("text",), ("audio", "vision"), ("text", "vision"), ("vision",)], ids=str)
def test_absent_modalities_have_no_sub_network_and_no_factor(there):
    batch = batch_of(there)
    outputs, _, gradient = trained(batch, there)
    sizes = {"text": 3, "audio": 3, "vision": 4}
    assert outputs["fused"].shape == (5, np.prod([sizes[name] + 1 for name in there]))
    owners = {"text": "text_subnetwork", "audio": "audio_encoder", "vision": "vision_encoder"}
    assert set(gradient) == {"fusion_head", *(owners[name] for name in there)}
    exports = tfn.METHOD.export_names(tfn.TFNOptions(), inputs_of(there))
    assert set(exports) == set(outputs) - {"prediction", "fused"}


# -- what changes nothing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fill", [0.0, 9.0])
def test_padding_changes_nothing(fill):
    expected, more = evaluated(), evaluated(batch=batch_of(extra=3, fill=fill))
    close(more, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_padding_is_read_up_to_a_constant_length_where_that_is_asked_for():
    changes = {"padding": "included", "padding_mean": True, "pack_text": False, "max_tokens": 9}
    expected, more = evaluated(**changes), evaluated(batch=batch_of(extra=3), **changes)
    # Means are divided by the steps of the training split, and text has max_tokens steps, however long a batch is.
    close(more, expected, rtol=1e-5, atol=1e-5)
    whole = batch_of(extra=3)
    whole["text"]["mask"][:] = 1
    np.testing.assert_allclose(
        evaluated(batch=whole)["text_embedding"], expected["text_embedding"], rtol=1e-5, atol=1e-6
    )
    for name in ("audio", "vision"):
        share = np.array(LENGTHS[name])[:, None] / SHAPES[name][0]
        scaled = batch_of()
        scaled[name]["features"] *= share[:, :, None].astype(np.float32)
        np.testing.assert_allclose(
            evaluated(batch=scaled)[f"{name}_embedding"], expected[f"{name}_embedding"], rtol=1e-4, atol=1e-5
        )


@pytest.mark.slow
def test_samples_of_weight_0_change_neither_scores_nor_statistics_nor_gradients():
    whole = batch_of()
    whole["weight"][3:] = 0
    for name in ("audio", "vision"):
        whole[name]["features"][3:] = 50.0
    outputs, moved, gradient = trained(whole)
    expected, statistics, alone = trained(batch_of(rows=3))
    np.testing.assert_allclose(outputs["prediction"][:3], expected["prediction"], rtol=1e-4, atol=1e-5)
    close(moved, statistics, rtol=1e-5, atol=1e-6)
    close(gradient, alone, rtol=1e-3, atol=1e-5)


def test_a_batch_of_one_is_finite_in_training_and_the_same_alone_in_evaluation():
    outputs, moved, gradient = trained(batch_of(rows=1))
    assert outputs["prediction"].shape == (1,)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((outputs, moved, gradient)))
    one, five = evaluated(batch=batch_of(rows=1)), evaluated()
    np.testing.assert_allclose(one["prediction"], five["prediction"][:1], rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_in_bfloat16_all_is_finite_the_product_is_float32_and_the_score_is_near():
    outputs, moved, gradient = trained(batch_of(), dtype=jnp.bfloat16)
    assert {outputs[name].dtype for name in ("prediction", "fused")} == {jnp.dtype("float32")}
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves((moved, gradient)))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((outputs, moved, gradient)))
    exact, near = evaluated()["prediction"], evaluated(dtype=jnp.bfloat16)["prediction"]
    np.testing.assert_allclose(near, exact, atol=0.2)


@pytest.mark.slow
def test_dropout_acts_in_training_alone():
    rates = {"dropout.audio": 0.5, "dropout.vision": 0.5, "dropout.fusion": 0.5, "dropout.text": 0.5}
    close(evaluated(**rates), evaluated(), rtol=0, atol=0)
    plain, dropped = trained(batch_of())[0], trained(batch_of(), **rates)[0]
    for name in ("text_embedding", "audio_embedding", "vision_embedding", "prediction"):
        assert np.abs(plain[name] - dropped[name]).max() > 1e-3


# -- objective, groups, options ---------------------------------------------------------------------------------------


def test_the_loss_is_the_absolute_error():
    step = Step({"prediction": jnp.array([1.0, -2.0])}, {"label": jnp.array([3.0, -2.5])}, {}, None, None, {})
    terms, memory = tfn.objective(step, tfn.TFNOptions(), inputs_of())
    assert memory == {}
    np.testing.assert_allclose(terms["multimodal"], [2.0, 0.5])


def test_every_parameter_has_a_gradient_and_every_running_statistic_moves():
    _, moved, gradient = trained(batch_of())
    for path, value in flatten_dict(gradient, sep="/").items():
        assert np.abs(value).max() > 0, path
    before = flatten_dict(variables_of()[STATISTICS], sep="/")
    for path, value in flatten_dict(moved, sep="/").items():
        assert np.abs(value - before[path]).max() > 0, path


def test_tokens_are_encoded_by_a_bert_of_a_group_of_its_own():
    bert = BertConfig(vocab_size=20, hidden_size=8, num_layers=1, num_heads=2, intermediate_size=16, max_positions=8)
    inputs = dataclasses.replace(inputs_of(), text=TextInput(width=8, steps=6, bert=bert))
    options = config.override(tfn.TFNOptions(), SMALL)
    batch = batch_of()
    batch["text"] = {"ids": np.ones((5, 6), np.int32), "mask": batch["text"]["mask"]}
    network = tfn.TFNNetwork(options, inputs)
    made = jax.eval_shape(lambda: network.init(jax.random.key(0), batch, train=False))["params"]
    groups = {
        path.split("/")[0]: next(group.name for group in tfn.METHOD.groups(options) if re.search(group.pattern, path))
        for path in flatten_dict(made, sep="/")
        if not path.startswith("text_encoder/") or path.endswith("kernel")
    }
    assert groups == {
        "text_encoder": "text", "audio_encoder": "audio", "vision_encoder": "vision", "text_subnetwork": "other",
        "fusion_head": "other",
    }  # fmt: skip


def test_text_is_frozen_unless_fine_tuning_is_asked_for():
    assert not tfn.TFNOptions().finetune_text


def test_the_reference_protocol_can_be_set_and_differs_in_what_mmsa_does():
    reference = config.override(tfn.TFNOptions(), tfn.REFERENCE)
    assert (reference.padding, reference.padding_mean, reference.output_range) == ("included", True, "published")
    assert (reference.weight_decay_mode, reference.validation_mean) == ("coupled", "batches")
    assert reference.patience == 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dropout.fusion": 1.0}, "dropout.fusion is 1.0"),
        ({"dropout.audio": -0.1}, "dropout.audio is -0.1"),
        ({"text_size": 0}, "text_size is 0"),
        ({"padding": "included"}, "set pack_text to false"),
        ({"output_range": "both"}, "expected one of labels, published"),
    ],
)
def test_options_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        config.override(tfn.TFNOptions(), changes)
