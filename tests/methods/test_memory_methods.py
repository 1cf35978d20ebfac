"""MFN, Graph-MFN and MFM: what their networks read, what padding and samples of weight 0 leave alone, their options."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from msa_jax import config
from msa_jax.errors import InputError
from msa_jax.methods import graph_mfn, mfm, mfn
from msa_jax.methods.protocol import Inputs, SequenceInput, Step, TextInput
from tests.methods.cases import (
    FIRST,
    add_frames,
    made_by_mmsa_preset,
    parameter_count,
    params_far_from_start,
    phase_of,
    trained_by,
)
from tests.quick import quick_jit

METHODS = {"mfn": mfn.METHOD, "graph_mfn": graph_mfn.METHOD, "mfm": mfm.METHOD}
SHAPES = {"text": (6, 8), "audio": (6, 5), "vision": (6, 3)}
LENGTHS = {name: [6, 2, 3, 1, 5] for name in SHAPES}
ALL = ("text", "audio", "vision")
MEMORY = {
    "hidden.text": 4, "hidden.audio": 2, "hidden.vision": 3, "memory": 5, "layer.proposal": 4, "layer.retain": 4,
    "layer.update": 3, "dropout.proposal": 0.0, "dropout.retain": 0.0, "dropout.update": 0.0,
}  # fmt: skip
ATTENTION = {"layer.attention": 6, "dropout.attention": 0.0}
SMALL = {
    "mfn": {**MEMORY, **ATTENTION, "score_hidden": 6, "score_dropout": 0.0},
    "graph_mfn": {**MEMORY, "vertex": 4, "vertex_hidden": 6, "score_hidden": 6},
    "mfm": {
        **MEMORY, **ATTENTION, "weights.audio": 0.5, "weights.discrepancy": 2.0,
        **{f"code.{name}": 4 for name in ("label", *ALL)}, **{f"factor.{name}": 3 for name in ("label", *ALL)},
        **{f"factor_dropout.{name}": 0.0 for name in ("label", "score", *ALL)},
    },
}  # fmt: skip
every_method = pytest.mark.parametrize("name", METHODS)
# What the conformance suite asks of them too.
first_quickly = pytest.mark.parametrize(
    "name", ["mfn", *(pytest.param(name, marks=pytest.mark.slow) for name in ("graph_mfn", "mfm"))]
)


def inputs_of(there=ALL, *, aligned=True) -> Inputs:
    text = TextInput(width=SHAPES["text"][1], steps=SHAPES["text"][0]) if "text" in there else None
    sequences = {name: SequenceInput(*SHAPES[name]) for name in ("audio", "vision") if name in there}
    return Inputs(text=text, **sequences, aligned=aligned)


def batch_of(there=ALL, *, rows=5, extra=0, fill=0.0) -> dict:
    label = np.random.default_rng(1).uniform(-3, 3, 5).astype(np.float32)[:rows]
    batch = {"label": label, "weight": np.ones(rows, np.float32), "row": np.arange(rows, dtype=np.int32)}
    return add_frames(batch, there, SHAPES, LENGTHS, rows=rows, extra=extra, fill=fill)


def network_of(name, there=ALL, *, dtype=jnp.float32, **changes):
    method = METHODS[name]
    options = config.override(method.options(), {**SMALL[name], **changes})
    return method.network(options, inputs_of(there), dtype)


@functools.cache
def params_of(name, there=ALL) -> dict:
    return params_far_from_start(network_of(name, there), batch_of(there))


@functools.cache
def evaluation(name, there, changes):
    network = network_of(name, there, **dict(changes))
    return quick_jit(lambda params, batch: network.apply({"params": params}, batch, train=False))


def evaluated(name, there=ALL, batch=None, **changes) -> dict:
    return evaluation(name, there, tuple(changes.items()))(params_of(name, there), batch or batch_of(there))


@functools.cache
def training(name, there, changes):
    network = network_of(name, there, **dict(changes))
    phase = phase_of(METHODS[name], network.options, network.inputs)

    def total(params, batch):
        outputs = network.apply({"params": params}, batch, train=True, rngs={"dropout": jax.random.key(3)})
        step = Step(outputs, batch, {}, FIRST, jax.random.key(4), {})
        terms, _ = phase.objective(step, network.options, network.inputs)
        weights = phase.weights(network.options, network.inputs, {}, FIRST)
        counts = batch["weight"] > 0
        means = {
            term: value if value.ndim == 0 else jnp.where(counts, value, 0).sum() / counts.sum()
            for term, value in terms.items()
        }
        return sum(weights.get(term, 1.0) * value for term, value in means.items()), (outputs, means)

    return quick_jit(jax.grad(total, has_aux=True))


def trained(name, batch: dict, there=ALL, **changes) -> tuple[dict, dict, dict]:
    """A training step: outputs, means of the terms over what counts, the gradient of their weighted sum."""
    gradient, (outputs, means) = training(name, there, tuple(changes.items()))(params_of(name, there), batch)
    return outputs, means, gradient


def close(one, two, **tolerance) -> None:
    for path, value in flatten_dict(dict(one), sep="/").items():
        np.testing.assert_allclose(value, flatten_dict(dict(two), sep="/")[path], err_msg=path, **tolerance)


# -- the networks -----------------------------------------------------------------------------------------------------


def score_layers(state: int, width: int) -> int:
    """Parameters of the score's layers of the MFN inside MMSA's MFM. MMSA never uses them, and ours has none."""
    return state * width + width + width + 1


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("mfn_mosi_mmsa", 2_172_657),
        ("mfn_mosei_mmsa", 1_276_865),
        ("mfn_sims_mmsa", 601_505),
        ("graph_mfn_mosi_mmsa", 2_319_280),
        ("mfm_mosi_mmsa", 1_416_123 - score_layers(128 + 32 + 128 + 64, 128)),
        ("mfm_mosei_mmsa", 5_996_541 - score_layers(256 + 32 + 256 + 64, 256)),
        ("mfm_sims_mmsa", 3_478_888 - score_layers(64 + 16 + 64 + 128, 128)),
    ],
)
def test_a_preset_of_mmsa_has_its_parameters(name, count):
    assert parameter_count(made_by_mmsa_preset(name)[1]) == count


def test_the_vertex_networks_of_graph_mfn_are_no_part_of_what_mmsa_trains():
    network, made = made_by_mmsa_preset("graph_mfn_mosi_mmsa")
    (stage,) = graph_mfn.METHOD.stages(network.options, network.inputs)
    flat = flatten_dict(made, sep="/")
    assert sum(flat[path].size for path in trained_by(stage, flat)) == 2_110_624


@every_method
@pytest.mark.parametrize("there", [("text",), ("audio", "vision"), ("text", "vision")], ids=str)
def test_absent_modalities_are_left_out(name, there):
    network, absent = network_of(name, there), set(ALL) - set(there)
    outputs = jax.eval_shape(evaluation(name, there, ()), params_of(name, there), batch_of(there))
    assert not [path for path in flatten_dict(params_of(name, there), sep="/") if any(each in path for each in absent)]
    assert outputs["representation"].shape[0] == 5
    exports = METHODS[name].export_names(network.options, inputs_of(there))
    assert set(exports) <= set(outputs)
    assert all(outputs[export].ndim == 2 for export in exports)


@pytest.mark.slow
def test_constant_sequences_are_the_time_means_at_every_step():
    batch = batch_of()
    for name in ("audio", "vision"):
        inside = np.arange(6)[None, :, None] < batch[name]["length"][:, None, None]
        mean = batch[name]["features"].sum(1, keepdims=True) / batch[name]["length"][:, None, None]
        batch[name]["features"] = (mean * inside).astype(np.float32)
    constant = evaluated("mfn", constant_sequences=True)["representation"]
    np.testing.assert_allclose(constant, evaluated("mfn", batch=batch)["representation"], rtol=1e-4, atol=1e-5)
    assert np.abs(constant - evaluated("mfn")["representation"]).max() > 1e-2


@pytest.mark.slow
def test_constant_sequences_with_padding_are_means_over_the_longest_sequence_of_train():
    changes = {"padding": "included", "pack_text": False, "max_tokens": 6, "constant_sequences": True}
    batch = batch_of()
    for name in ("audio", "vision"):
        mean = batch[name]["features"].sum(1, keepdims=True) / SHAPES[name][0]
        batch[name]["features"] = np.repeat(mean, 6, 1)
        batch[name]["length"][:] = 6
    expected = evaluated("mfn", batch=batch, **{**changes, "constant_sequences": False})
    close(evaluated("mfn", **changes), expected, rtol=1e-4, atol=1e-5)


def test_frozen_vertices_are_not_trained():
    paths = flatten_dict(params_of("graph_mfn"), sep="/")
    options = {frozen: network_of("graph_mfn", frozen_vertices=frozen).options for frozen in (False, True)}
    ours, mmsa = (trained_by(graph_mfn.stages(options[frozen], inputs_of())[0], paths) for frozen in (False, True))
    assert ours == set(paths)
    assert {path.split("/")[1] for path in ours - mmsa} == {
        f"vertex_{sets}_{layer}"
        for sets in ("text_audio", "text_vision", "audio_vision", "text_audio_vision")
        for layer in ("hidden", "output")
    }


@pytest.mark.slow
def test_exported_efficacies_are_means_over_the_steps_of_each_sample():
    found = evaluated("graph_mfn")["efficacies"]
    assert found.shape == (5, 19)
    alone = batch_of(rows=2)
    for name in ALL:  # the second sample has two steps: of the first two of the first sample the mean is over more
        alone[name]["features"] = alone[name]["features"][:, :2]
    alone["text"]["mask"] = alone["text"]["mask"][:, :2]
    for name in ("audio", "vision"):
        alone[name]["length"] = np.minimum(alone[name]["length"], 2)
    shorter = evaluated("graph_mfn", batch=alone)["efficacies"]
    np.testing.assert_allclose(shorter[1], found[1], rtol=1e-4, atol=1e-5)
    assert np.abs(shorter[0] - found[0]).max() > 1e-3


@pytest.mark.slow
def test_generation_is_a_mean_over_each_samples_own_steps():
    outputs, means, _ = trained("mfm", batch_of())
    for name in ALL:
        errors = [
            np.square(outputs["generated"][name][row, :length] - outputs["sequences"][name][row, :length]).mean()
            for row, length in enumerate(LENGTHS[name])
        ]
        np.testing.assert_allclose(means[f"{name}_generation"], np.mean(errors), rtol=1e-4)


def test_a_decoder_learns_from_the_samples_that_have_its_modality():
    options, inputs = network_of("mfm").options, inputs_of()
    batch, rng = batch_of(), np.random.default_rng(3)
    batch["weight"][4] = 0
    sequences = {name: jnp.asarray(batch[name]["features"]) for name in ALL}
    sequences["vision"] = sequences["vision"].at[1].set(0)
    generated = {name: jnp.asarray(rng.normal(size=x.shape), jnp.float32) for name, x in sequences.items()}
    codes = {f"{name}_code": jnp.zeros((5, 2)) for name in ("label", *ALL)}

    def terms(generated, sequences):
        outputs = {"prediction": jnp.zeros(5), "length": jnp.asarray(LENGTHS["text"]), **codes}
        outputs |= {"sequences": sequences, "generated": generated}
        found = mfm.objective(Step(outputs, batch, {}, FIRST, jax.random.key(0), {}), options, inputs)[0]
        return {name: found[f"{name}_generation"][:4].mean() for name in ALL}

    def total(generated, sequences):
        found = terms(generated, sequences)
        return sum(found.values()), found

    program = quick_jit(jax.value_and_grad(total, has_aux=True))
    (_, found), gradient = program(generated, sequences)
    for name, rows in (("text", range(4)), ("vision", (0, 2, 3))):
        off = [np.square(generated[name] - sequences[name])[row, : LENGTHS[name][row]].mean() for row in rows]
        np.testing.assert_allclose(found[name], np.mean(off), rtol=1e-5)
    assert [bool(row.any()) for row in gradient["vision"]] == [True, False, True, True, False]
    (_, found), gradient = program(generated, {**sequences, "vision": jnp.zeros_like(sequences["vision"])})
    assert found["vision"] == 0
    np.testing.assert_array_equal(gradient["vision"], 0)


@pytest.mark.slow
def test_no_gradient_flows_into_what_is_generated_again():
    options, inputs = network_of("mfm").options, inputs_of()
    outputs, batch = evaluated("mfm"), batch_of()

    def total(sequences):
        step = Step({**outputs, "sequences": sequences}, batch, {}, FIRST, jax.random.key(0), {})
        return sum(term.sum() for term in mfm.objective(step, options, inputs)[0].values())

    gradient = quick_jit(jax.grad(total))(outputs["sequences"])
    assert all(np.all(leaf == 0) for leaf in jax.tree.leaves(gradient))


# -- what changes nothing ---------------------------------------------------------------------------------------------


@pytest.mark.slow
@first_quickly
@pytest.mark.parametrize("fill", [0.0, 9.0])
def test_padding_changes_nothing(name, fill):
    (expected, _, slope), (more, _, other) = (
        trained(name, batch) for batch in (batch_of(), batch_of(extra=3, fill=fill))
    )
    for output in ("prediction", "representation"):
        np.testing.assert_allclose(more[output], expected[output], rtol=1e-4, atol=1e-5)
    close(other, slope, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
@first_quickly
def test_padding_is_walked_where_that_is_asked_for(name):
    changes = {"padding": "included", "pack_text": False, "max_tokens": 9}
    walked = evaluated(name, **changes)["prediction"]
    np.testing.assert_allclose(walked, evaluated(name, batch=batch_of(extra=3), **changes)["prediction"], rtol=1e-5)
    assert np.abs(walked - evaluated(name)["prediction"]).max() > 1e-3


@first_quickly
def test_samples_of_weight_0_change_neither_losses_nor_gradients(name):
    whole = batch_of()
    whole["weight"][3:] = 0
    other = jax.tree.map(np.copy, whole)
    for each in ("audio", "vision"):
        other[each]["features"][3:] = 50.0
    other["label"][3:] = 9.0
    (_, means, gradient), (_, expected, slope) = (trained(name, batch) for batch in (other, whole))
    close(means, expected, rtol=1e-5, atol=1e-6)
    close(gradient, slope, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@every_method
def test_a_batch_of_one_is_finite_in_training_and_the_same_alone_in_evaluation(name):
    outputs, means, gradient = trained(name, batch_of(rows=1))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((outputs, means, gradient)))
    one, five = evaluated(name, batch=batch_of(rows=1)), evaluated(name)
    np.testing.assert_allclose(one["prediction"], five["prediction"][:1], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@every_method
def test_in_bfloat16_scores_are_float32_and_near(name):
    outputs, means, gradient = trained(name, batch_of(), dtype=jnp.bfloat16)
    assert outputs["prediction"].dtype == jnp.float32
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((outputs, means, gradient)))
    exact = np.asarray(evaluated(name)["prediction"])
    near = evaluated(name, dtype=jnp.bfloat16)["prediction"]
    np.testing.assert_allclose(near, exact, atol=0.05 * max(np.abs(exact).max(), 1))


@pytest.mark.slow
@every_method
def test_every_parameter_has_a_gradient_and_a_group(name):
    gradient = flatten_dict(trained(name, batch_of())[2], sep="/")
    groups = METHODS[name].groups(METHODS[name].options())
    for path, value in gradient.items():
        assert np.abs(value).max() > 0, path
        group = next(each.name for each in groups if re.search(each.pattern, path))
        alone = re.search(r"(^|/)(audio|vision)_", path)
        assert group == (alone[2] if alone else "other"), path


# -- options ----------------------------------------------------------------------------------------------------------


@every_method
def test_the_reference_protocol_can_be_set(name):
    reference = config.override(METHODS[name].options(), dict(METHODS[name].reference))
    assert (reference.padding, reference.alignment, reference.weight_decay_mode) == (
        "included",
        "contiguous",
        "coupled",
    )
    assert reference.learning_rate.other == {"mfn": 2e-3, "graph_mfn": 2e-3, "mfm": 1e-3}[name]
    assert not METHODS[name].options().finetune_text


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("mfn", {"dropout.retain": 1.0}, "dropout.retain is 1.0"),
        ("mfn", {"hidden.audio": 0}, "hidden.audio is 0"),
        ("mfn", {"layer.attention": 0}, "layer.attention is 0"),
        ("mfn", {"padding": "included"}, "set pack_text to false"),
        ("graph_mfn", {"vertex": 0}, "vertex is 0"),
        ("graph_mfn", {"score_dropout": -0.1}, "score_dropout is -0.1"),
        ("mfm", {"factor_dropout.score": 2.0}, "factor_dropout.score is 2.0"),
        ("mfm", {"code.label": 0}, "code.label is 0"),
        ("mfm", {"weights.discrepancy": -1.0}, "weights.discrepancy is -1.0"),
    ],
)
def test_options_that_do_not_fit_are_refused(name, changes, message):
    with pytest.raises(InputError, match=message):
        config.override(METHODS[name].options(), changes)
