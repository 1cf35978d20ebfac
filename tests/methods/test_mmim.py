"""MMIM: what each objective trains, its memory, masks, and the sizes of the published network."""

import functools
import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from msa_jax import config
from msa_jax.errors import InputError
from msa_jax.methods import mmim
from msa_jax.methods.protocol import Clock, Inputs, SequenceInput, Step, TextInput
from msa_jax.methods.shared.presence import has
from tests.losses.test_information import entropy_by_numpy
from tests.methods.cases import add_frames, params_far_from_start
from tests.quick import quick_jit

B = 12
SHAPES = {"text": (4, 12), "audio": (6, 5), "vision": (7, 4)}
LENGTHS = {name: [1 + (3 * row) % steps for row in range(B)] for name, (steps, _) in SHAPES.items()}
SIZES = {"audio_hidden": 3, "vision_hidden": 4, "audio_size": 8, "vision_size": 12, "width": 6, "batch_size": B}
LABEL = np.array([1, -1, 2, -2, 0, 3, -3, 0.5, -0.5, 1.5, -1.5, 0], np.float32)
ALL = tuple(SHAPES)


def options_of(**changes: Any) -> mmim.MMIMOptions:
    return config.override(mmim.MMIMOptions(), {**SIZES, **changes})


def inputs_of(there=ALL) -> Inputs:
    given = {name: SequenceInput(*SHAPES[name]) for name in there if name != "text"}
    text = TextInput(width=SHAPES["text"][1], steps=SHAPES["text"][0]) if "text" in there else None
    return Inputs(text=text, **given)


def batch_of(there=ALL, *, rows=B, extra=0, fill=0.0) -> dict:
    batch = {"label": LABEL[:rows], "row": np.arange(rows), "weight": np.ones(rows, np.float32)}
    return add_frames(batch, there, SHAPES, LENGTHS, rows=rows, extra=extra, fill=fill)


def memory_of(options, inputs, batches=2, seed=0) -> mmim.Memory:
    """As after some batches, full of numbers."""
    rng = np.random.default_rng(seed)
    empty = mmim.init_memory(options, inputs, {})
    projected = {name: np.tanh(rng.normal(size=x.shape)).astype(np.float32) for name, x in empty.projected.items()}
    sign = np.sign(rng.normal(size=B)).astype(np.float32)
    return mmim.Memory(projected, dict.fromkeys(projected, sign), jnp.int32(batches))


def phases_of(options, inputs):
    (stage,) = mmim.stages(options, inputs)
    return stage.phases


@functools.cache
def _program(options, inputs, number, train):
    phase = phases_of(options, inputs)[number]
    network = mmim.MMIMNetwork(options, inputs)

    def loss(params, batch, memory):
        rngs = {"dropout": jax.random.key(1)}
        outputs = network.apply({"params": params}, batch, train=train, rngs=rngs)
        step = Step(outputs, batch, memory, Clock(jnp.int32(1), jnp.int32(0)), jax.random.key(0), {})
        terms, after = phase.objective(step, options, inputs)
        for name, term in terms.items():
            assert (term.ndim == 0) == (name in phase.batch_terms)
        count = jnp.maximum(batch["weight"].sum(), 1)
        means = {name: x if x.ndim == 0 else (x * batch["weight"]).sum() / count for name, x in terms.items()}
        weight = phase.weights(options, inputs, memory, step.clock)
        assert set(weight) <= set(terms)
        return sum(weight.get(name, 1.0) * mean for name, mean in means.items()), (means, after, outputs)

    return jax.value_and_grad(loss, has_aux=True)


def found(options, inputs, batch, memory=None, *, params=None, number=0, train=True) -> dict[str, Any]:
    """Terms, the memory after, outputs, and gradients by path."""
    memory = memory_of(options, inputs) if memory is None else memory
    params = params_far_from_start(mmim.MMIMNetwork(options, inputs), batch) if params is None else params
    program = quick_jit(_program(options, inputs, number, train))
    (loss, (terms, after, outputs)), gradient = program(params, batch, memory)
    flat = {path: np.asarray(x) for path, x in flatten_dict(gradient, sep="/").items()}
    return {"loss": loss, "terms": terms, "memory": after, "outputs": outputs, "gradient": flat}


def assert_same(first: Mapping[str, Any], second: Mapping[str, Any], **tolerance: float) -> None:
    """Every array of two results."""
    for one, other in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        np.testing.assert_allclose(one, other, **(tolerance or {"rtol": 2e-5, "atol": 1e-6}))


# -- who learns what --------------------------------------------------------------------------------------------------


QUIRKS = {"gaussian_normaliser": False, "bounded_variance": False, "add_va": True}


@pytest.mark.slow
@pytest.mark.parametrize("quirks", [{}, pytest.param(QUIRKS, marks=pytest.mark.slow)])
def test_the_joint_pass_has_the_gradients_of_both_phases(quirks):
    inputs, batch = inputs_of(), batch_of()
    joint = found(options_of(**quirks), inputs, batch)
    alternating = options_of(training="alternating", **quirks)
    first, second = (found(alternating, inputs, batch, number=number) for number in (0, 1))
    for path, gradient in joint["gradient"].items():
        of_q = re.search(mmim.BOUND, path)
        np.testing.assert_array_equal((second if of_q else first)["gradient"][path], 0, err_msg=path)
        wanted = (first if of_q else second)["gradient"][path]
        np.testing.assert_allclose(gradient, wanted, rtol=1e-5, atol=1e-6, err_msg=path)
        assert np.any(gradient), path
    assert_same(joint["terms"], {**second["terms"], **first["terms"]})
    assert_same(joint["memory"], second["memory"])
    assert_same(first["memory"], memory_of(alternating, inputs))  # walked for q alone, batches are not remembered


@pytest.mark.slow
def test_the_gradients_of_both_phases_together_are_those_of_a_likelihood_without_stops():
    inputs, batch = inputs_of(), batch_of()
    options = options_of(alpha=0.0, training="alternating")
    network = mmim.MMIMNetwork(options, inputs)
    params = params_far_from_start(network, batch)
    first, second = (found(options, inputs, batch, params=params, number=number, train=False) for number in (0, 1))

    def likelihood(params):
        total = 0.0
        states = network.apply({"params": params}, batch, train=False)["states"]
        for name, (x, y) in mmim.bounds(options, inputs).items():
            p = params[f"{name}_bound"]
            mean, log_variance = (
                jax.nn.relu(states[x] @ p[f"{part}_hidden"]["kernel"] + p[f"{part}_hidden"]["bias"][None])
                @ p[part]["kernel"]
                + p[part]["bias"][None]
                for part in ("mean", "log_variance")
            )
            log_variance = jnp.tanh(log_variance)
            each = -0.5 * (states[y] - mean) ** 2 / jnp.exp(log_variance) - 0.5 * log_variance
            total += each.sum(-1).mean()
        return total

    value, gradient = quick_jit(jax.value_and_grad(likelihood))(params)
    np.testing.assert_allclose(second["terms"]["likelihood"], -value, rtol=1e-5)
    np.testing.assert_allclose(first["terms"]["bound"], -value, rtol=1e-5)
    for path, wanted in flatten_dict(gradient, sep="/").items():
        if re.search(mmim.BOUND, path):
            np.testing.assert_allclose(first["gradient"][path], -wanted, rtol=1e-4, atol=1e-5, err_msg=path)


@pytest.mark.slow
@pytest.mark.parametrize("training", ["joint", "alternating"])
@pytest.mark.parametrize("projection", ["trained", "fixed"])
def test_every_parameter_is_trained_by_one_phase_but_fixed_projections_by_none(training, projection):
    options, inputs = options_of(training=training, entropy_projection=projection), inputs_of()
    params = params_far_from_start(mmim.MMIMNetwork(options, inputs), batch_of())
    for path in flatten_dict(params, sep="/"):
        trained = [
            phase.name
            for phase in phases_of(options, inputs)
            if re.search(phase.trains, path) and not (phase.frozen and re.search(phase.frozen, path))
        ]
        fixed = projection == "fixed" and re.search(mmim.ENTROPY, path)
        of_q = "bound" if re.search(mmim.BOUND, path) else "task"
        assert trained == ([] if fixed else ["train" if training == "joint" else of_q]), path


def test_of_an_epoch_q_may_walk_a_part():
    first, second = phases_of(options_of(training="alternating", bound_share=0.5), inputs_of())
    assert (first.share, second.share) == (0.5, 1.0)


def test_groups_tell_q_encoders_and_all_else_apart():
    def group(path, **changes):
        return next(group for group in mmim.groups(options_of(**changes)) if re.search(group.pattern, path))

    assert group("text_vision_bound/mean/kernel").name == "bound"
    assert group("text_vision_bound/mean/kernel", **{"learning_rate.bound": 5e-3}).learning_rate == 5e-3
    assert group("text_vision_entropy/kernel").name == "other"
    assert group("audio_encoder/projection/kernel").name == "audio"
    bias = "text_encoder/bert/layer_0/attention/query/bias"
    assert group(bias).weight_decay == 0
    assert group(bias, decay_all=True).weight_decay == 1e-4
    assert group("text_encoder/bert/layer_0/output_norm/scale", decay_all=True).weight_decay == 1e-4


# -- the memory -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_entropy_counts_from_the_third_batch_on_and_is_that_of_two_batches():
    options, inputs, batch = options_of(), inputs_of(), batch_of()
    for batches in (0, 1):
        early = found(options, inputs, batch, memory_of(options, inputs, batches))
        assert early["terms"]["entropy"] == 0
        assert not np.any(early["gradient"]["text_vision_entropy/kernel"])
    memory = memory_of(options, inputs, 2)
    later = found(options, inputs, batch, memory)
    there = {name: has(batch, name.split("_")[1], inputs) for name in memory.sign}
    label = {name: np.concatenate([np.where(there[name], LABEL, 0), sign]) for name, sign in memory.sign.items()}
    wanted = sum(
        entropy_by_numpy(np.concatenate([np.asarray(x), memory.projected[name]]), label[name], options.entropy_epsilon)
        for name, x in later["outputs"]["projected"].items()
    )
    np.testing.assert_allclose(later["terms"]["entropy"], -wanted, rtol=1e-4)
    assert np.any(later["gradient"]["text_vision_entropy/kernel"])


@pytest.mark.slow
def test_the_memory_is_the_last_batch_and_ends_with_the_epoch():
    options, inputs = options_of(), inputs_of()
    batch = {**batch_of(), "weight": np.array([1] * 9 + [0] * 3, np.float32)}
    step = found(options, inputs, batch)
    after: mmim.Memory = step["memory"]
    there = batch["weight"][:, None] > 0
    assert_same(after.projected, {name: np.where(there, x, 0) for name, x in step["outputs"]["projected"].items()})
    for name, sign in after.sign.items():
        counts = (batch["weight"] > 0) & np.asarray(has(batch, name.split("_")[1], inputs))
        np.testing.assert_array_equal(sign, np.where(counts, np.sign(LABEL), 0))
    assert after.batches == 3
    assert_same(mmim.forget(after, {}, options, inputs), mmim.init_memory(options, inputs, {}))


# -- samples that are not there ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_samples_of_weight_zero_change_nothing(number):
    options, inputs = options_of(training="alternating", add_va=True), inputs_of()
    weight = np.array([1] * 8 + [0] * 4, np.float32)
    params = params_far_from_start(mmim.MMIMNetwork(options, inputs), batch_of())
    memory = memory_of(options, inputs)

    def spoiled(value, label):
        batch = {**batch_of(), "weight": weight}
        for name in ("audio", "vision", "text"):
            x = batch[name]["features"].copy()
            x[8:] = value
            batch[name] = {**batch[name], "features": x}
        return {**batch, "label": np.where(weight > 0, LABEL, np.float32(label))}

    first = found(options, inputs, spoiled(3.0, 2.0), memory, params=params, number=number, train=False)
    second = found(options, inputs, spoiled(-50.0, -1.0), memory, params=params, number=number, train=False)
    assert_same(first["terms"], second["terms"])
    assert_same(first["gradient"], second["gradient"])


@pytest.mark.slow
def test_padding_changes_nothing():
    options, inputs = options_of(bidirectional=True), inputs_of()
    params = params_far_from_start(mmim.MMIMNetwork(options, inputs), batch_of())
    plain, padded = (
        found(options, inputs, batch_of(extra=extra, fill=fill), params=params, train=False)
        for extra, fill in ((0, 0.0), (3, 7.0))
    )
    for name in ("terms", "memory", "gradient"):
        assert_same(plain[name], padded[name])
    assert_same(plain["outputs"]["prediction"], padded["outputs"]["prediction"])


@pytest.mark.slow
def test_a_batch_of_one_has_a_finite_loss_and_gradient():
    options, inputs = options_of(batch_size=1), inputs_of()
    empty = mmim.init_memory(options, inputs, {})
    memory = empty._replace(batches=jnp.int32(2), sign={name: np.ones(1, np.float32) for name in empty.sign})
    step = found(options, inputs, batch_of(rows=1), memory)
    assert step["terms"]["cpc"] == 0
    assert step["terms"]["entropy"] == 0
    assert all(np.all(np.isfinite(x)) for x in step["gradient"].values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("there", "bounds"),
    [(("text", "audio"), {"text_audio"}), (("audio", "vision"), {"vision_audio"}), (("vision",), set())],
)
def test_an_absent_modality_leaves_its_bound_and_its_contrast_out(there, bounds):
    options, inputs, batch = options_of(add_va=True), inputs_of(there), batch_of(there)
    step = found(options, inputs, batch)
    assert set(step["outputs"]["gaussians"]) == set(step["memory"].projected) == bounds
    assert set(step["outputs"]["predicted"]) == set(there)
    expected = {"multimodal", "cpc"} | ({"likelihood", "entropy", "bound"} if bounds else set())
    assert set(step["terms"]) == expected
    assert all(np.all(np.isfinite(x)) for x in step["gradient"].values())
    assert step["outputs"]["prediction"].shape == (B,)
    alternating = phases_of(options_of(add_va=True, training="alternating"), inputs)
    assert [phase.name for phase in alternating] == (["bound", "task"] if bounds else ["task"])


def test_without_contrast_l1_is_all_there_is():
    options, inputs, batch = options_of(contrast=False), inputs_of(), batch_of()
    step = found(options, inputs, batch)
    assert set(step["terms"]) == {"multimodal"}
    np.testing.assert_allclose(step["loss"], np.abs(step["outputs"]["prediction"] - LABEL).mean(), rtol=1e-5)
    assert not [path for path in step["gradient"] if re.search(r"_(bound|entropy|cpc)/", path)]


# -- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_bfloat16_keeps_losses_in_float32_and_near_those_of_float32():
    options, inputs, batch = options_of(), inputs_of(), batch_of()
    params = params_far_from_start(mmim.MMIMNetwork(options, inputs), batch)
    outputs = [
        quick_jit(functools.partial(mmim.MMIMNetwork(options, inputs, dtype).apply, train=False))(
            {"params": params}, batch
        )
        for dtype in (jnp.float32, jnp.bfloat16)
    ]
    assert {x.dtype for x in jax.tree.leaves(outputs[1])} == {jnp.dtype(jnp.float32)}
    assert_same(outputs[0]["prediction"], outputs[1]["prediction"], atol=0.1)
    assert_same(outputs[0]["states"], outputs[1]["states"], atol=0.1)


@pytest.mark.slow
def test_runs_side_by_side_equal_runs_apart():
    options, inputs, batch = options_of(), inputs_of(), batch_of()
    one = params_far_from_start(mmim.MMIMNetwork(options, inputs), batch)
    other = jax.tree.map(lambda x: -0.7 * x, one)
    memories = [memory_of(options, inputs, batches, seed) for batches, seed in ((1, 0), (2, 1))]
    program = _program(options, inputs, 0, False)
    both = jax.tree.map(lambda *x: jnp.stack(x), (one, memories[0]), (other, memories[1]))
    (_, (terms, _, _)), gradient = quick_jit(jax.vmap(program, in_axes=(0, None, 0)))(both[0], batch, both[1])
    for number, params in enumerate((one, other)):
        apart = found(options, inputs, batch, memories[number], params=params, train=False)
        assert_same({name: x[number] for name, x in terms.items()}, apart["terms"])
        flat = flatten_dict(gradient, sep="/")
        assert_same({path: x[number] for path, x in flat.items()}, apart["gradient"], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_values_of_a_sweep_may_be_traced():
    inputs, batch = inputs_of(), batch_of()
    plain = options_of(beta=0.3, entropy_epsilon=1e-2)
    wanted = found(plain, inputs, batch, train=False)
    params = params_far_from_start(mmim.MMIMNetwork(plain, inputs), batch)

    def loss(values):
        options = config.with_values(options_of(), values)
        outputs = mmim.MMIMNetwork(options, inputs).apply({"params": params}, batch, train=False)
        memory = memory_of(options, inputs)
        step = Step(outputs, batch, memory, Clock(jnp.int32(1), jnp.int32(0)), jax.random.key(0), {})
        terms, _ = mmim.joint_objective(step, options, inputs)
        weight = mmim.weights(options, inputs, memory, step.clock)
        return sum(weight.get(name, 1.0) * term.mean() for name, term in terms.items())

    np.testing.assert_allclose(
        quick_jit(loss)({"beta": 0.3, "entropy_epsilon": 1e-2, "dropout": 0.4}), wanted["loss"], rtol=1e-5
    )


@pytest.mark.parametrize(
    ("audio", "vision", "parameters"),
    [((375, 5), (500, 20), 281_673), ((500, 74), (500, 35), 292_425), ((400, 33), (55, 709), 373_449)],
    ids=["mosi", "mosei", "sims"],
)
def test_parameters_without_bert_are_as_many_as_in_the_published_code(audio, vision, parameters):
    options = config.override(mmim.MMIMOptions(), {**mmim.REFERENCE, "bidirectional": True})
    inputs = Inputs(
        text=TextInput(width=768, steps=5), audio=SequenceInput(*audio), vision=SequenceInput(*vision), rows=1
    )
    batch = {
        "text": {"features": np.zeros((1, 5, 768), np.float32), "mask": np.ones((1, 5), np.int32)},
        "audio": {"features": np.zeros((1, *audio), np.float32), "length": np.ones(1, np.int32)},
        "vision": {"features": np.zeros((1, *vision), np.float32), "length": np.ones(1, np.int32)},
    }
    network = mmim.MMIMNetwork(options, inputs)
    made = jax.eval_shape(lambda: network.init(jax.random.key(0), batch, train=False))["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(made)) == parameters


@pytest.mark.slow
def test_matrices_outside_bert_start_xavier_normal_and_biases_as_in_torch():
    options, inputs = options_of(width=64, audio_hidden=32, bidirectional=True), inputs_of()
    init = functools.partial(mmim.MMIMNetwork(options, inputs).init, train=False)
    flat = flatten_dict(quick_jit(init)(jax.random.key(0), batch_of())["params"], sep="/")
    for path in ("fusion/kernel", "audio_encoder/lstm/forward/recurrent", "audio_encoder/lstm/backward/recurrent"):
        x = np.asarray(flat[path])
        np.testing.assert_allclose(x.std(), np.sqrt(2 / sum(x.shape)), rtol=0.06, err_msg=path)
        assert np.abs(x).max() > 3 * x.std(), path  # normal, neither uniform nor truncated at 2 deviations
    for path, width in (("fusion/bias", 64), ("audio_encoder/lstm/forward/input_bias", 32)):
        assert 0.8 * width**-0.5 < np.abs(flat[path]).max() <= width**-0.5, path


@pytest.mark.parametrize(
    "change",
    [
        {"bound_share": 0.0},
        {"bound_share": 1.5},
        {"beta": -0.1},
        {"entropy_epsilon": -1e-4},
        {"dropout": 1.0},
        {"width": 0},
    ],
)
def test_an_impossible_option_is_an_error(change):
    with pytest.raises(InputError, match=next(iter(change))):
        options_of(**change)
