"""Self-MM: its options, its terms, and that a step costs the same however many rows are remembered."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from msa_jax import config
from msa_jax.errors import InputError
from msa_jax.methods import self_mm
from msa_jax.methods.protocol import Clock, Inputs, SequenceInput, TextInput
from msa_jax.methods.shared import unimodal_tasks
from tests.methods.cases import params_far_from_start, step_of
from tests.methods.one_run import OneRun
from tests.quick import quick_jit

INPUTS = Inputs(audio=SequenceInput(6, 5), vision=SequenceInput(7, 4), rows=64, columns=("label_a", "label_v"))


def _data(rows: int) -> dict:
    rng = np.random.default_rng(0)
    return {
        "audio": {"features": rng.normal(size=(rows, 6, 5)).astype(np.float32), "length": np.full(rows, 6, np.int32)},
        "vision": {"features": rng.normal(size=(rows, 7, 4)).astype(np.float32), "length": np.full(rows, 7, np.int32)},
        "label": rng.uniform(-3, 3, rows).astype(np.float32),
    }


def _scored(**changes):
    """Options, a batch of 64 rows, outputs of a new network for it, and the memory before the first epoch."""
    options = config.override(self_mm.SelfMMOptions(), changes)
    batch = {**_data(64), "row": np.arange(64), "weight": np.ones(64, np.float32)}
    network = self_mm.SelfMMNetwork(options, INPUTS)
    made = quick_jit(lambda key: network.init_with_output(key, batch, train=False)[0])
    outputs = made(jax.random.key(0))
    memory = unimodal_tasks.init_memory(options, INPUTS, {"label": jnp.asarray(batch["label"])})
    return options, batch, outputs, memory


@pytest.mark.slow
def test_a_step_copies_no_memory():
    rows = 54321  # a size that nothing else in the program has
    inputs = Inputs(audio=SequenceInput(6, 5), vision=SequenceInput(7, 4), rows=rows)
    options, data = self_mm.SelfMMOptions(), _data(rows)
    network = self_mm.SelfMMNetwork(options, inputs)
    row = jax.tree.map(lambda column: column[:1], data)
    params = jax.eval_shape(lambda: network.init(jax.random.key(0), row, train=False))["params"]
    zeros = {path: np.zeros(leaf.shape, np.float32) for path, leaf in flatten_dict(params, sep="/").items()}
    run = OneRun(self_mm.METHOD, options, inputs, zeros, data)
    given = run.arguments(np.arange(128, dtype=np.int32).reshape(4, 32)).values()
    text = run.phase.train.compiled(1).lower(*given).compile().as_text()
    features = [line for line in text.splitlines() if re.search(rf"f32\[(1,)?{rows},(128|16|32)\]", line)]
    assert any(" scatter(" in line for line in features)  # the memories are there, and written to
    assert not [line for line in features if re.search(r" (copy|select|add)\(", line)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tasks", "terms"),
    [("m", {"multimodal"}), ("M,A", {"multimodal", "audio"}), ("m,t,a,v", {"multimodal", "audio", "vision"})],
)
def test_tasks_choose_the_terms_of_the_loss(tasks, terms):
    options, batch, outputs, memory = _scored(tasks=tasks)
    found, _ = unimodal_tasks.objective(step_of(outputs, batch, memory), options, INPUTS)
    assert set(found) == terms
    heads = self_mm.METHOD.head_names(options, INPUTS)
    assert set(heads) == {"prediction", *terms} - {"multimodal"}
    assert {*heads, *self_mm.METHOD.export_names(options, INPUTS)} == set(outputs) - {"features"}


@pytest.mark.slow
def test_unimodal_terms_are_zero_until_labels_differ_and_then_weighted_by_tanh():
    options, batch, outputs, memory = _scored()
    terms, _ = unimodal_tasks.objective(step_of(outputs, batch, memory), options, INPUTS)
    np.testing.assert_array_equal(terms["audio"], 0)
    moved = memory.labels["a"] + 0.7
    memory = memory._replace(labels={**memory.labels, "a": moved})
    terms, _ = unimodal_tasks.objective(step_of(outputs, batch, memory), options, INPUTS)
    expected = np.tanh(0.7) * np.abs(np.asarray(outputs["audio"]) - np.asarray(moved))
    np.testing.assert_allclose(terms["audio"], expected, rtol=1e-4)


@pytest.mark.parametrize("rule", ["self_mm", "sugrm"])
def test_a_sample_without_a_modality_learns_nothing_in_its_task_and_keeps_its_label_and_feature(rule):
    widths = {f"feature_size.{task}": 8 for task in "mtav"}
    options, batch, outputs, memory = _scored(label_generation=rule, **widths)
    gone = np.arange(64) % 4 == 1
    lacking = {**batch, "audio": {**batch["audio"], "length": np.where(gone, 0, 6)}}
    epoch = [Clock(jnp.int32(number), jnp.int32(9)) for number in (1, 2, 3)]
    for number in (0, 1):
        features = {task: np.roll(value, number, axis=0) + 0.1 for task, value in outputs["features"].items()}
        step = step_of({**outputs, "features": features}, batch, memory, epoch[number])
        _, memory = unimodal_tasks.objective(step, options, INPUTS)
    (full, complete), (terms, after) = (
        unimodal_tasks.objective(step_of(outputs, of, memory, epoch[2]), options, INPUTS) for of in (batch, lacking)
    )
    assert (np.asarray(full["audio"])[gone] > 0).any()
    np.testing.assert_array_equal(terms["audio"], np.where(gone, 0, full["audio"]))
    for name in ("multimodal", "vision"):
        np.testing.assert_array_equal(terms[name], full[name])
    assert (np.asarray(complete.labels["a"]) != np.asarray(memory.labels["a"]))[gone].any()
    np.testing.assert_array_equal(after.labels["a"], np.where(gone, memory.labels["a"], complete.labels["a"]))
    if rule == "self_mm":
        expected = np.where(gone[:, None], memory.features["a"], complete.features["a"])
        np.testing.assert_array_equal(after.features["a"], expected)


def test_human_labels_take_the_place_of_generated_ones():
    options, batch, outputs, memory = _scored(unimodal_labels="human")
    assert memory == {}
    human = batch["label"] + np.float32(1.0)
    batch |= {"label_a": human, "label_v": human}
    terms, _ = unimodal_tasks.objective(step_of(outputs, batch), options, INPUTS)
    expected = np.tanh(1.0) * np.abs(np.asarray(outputs["vision"]) - human)
    np.testing.assert_allclose(terms["vision"], expected, rtol=1e-4)


def test_human_labels_that_the_dataset_lacks_are_an_error():
    options = config.override(self_mm.SelfMMOptions(), {"unimodal_labels": "human"})
    unimodal_tasks.check(options, INPUTS)
    with pytest.raises(InputError, match="label_a, label_v"):
        unimodal_tasks.check(options, Inputs(audio=SequenceInput(6, 5), vision=SequenceInput(7, 4)))


@pytest.mark.parametrize("tasks", ["t,a", "m,x", ""])
def test_impossible_tasks_are_an_error(tasks):
    with pytest.raises(InputError, match="tasks"):
        config.override(self_mm.SelfMMOptions(), {"tasks": tasks})


@pytest.mark.parametrize(
    ("preset", "shapes", "parameters"),
    [
        ("self_mm_mosi_mmsa", {"audio": (375, 5), "vision": (500, 20)}, 159_332),
        ("self_mm_mosei_mmsa", {"audio": (500, 74), "vision": (500, 35)}, 165_668),
        ("self_mm_sims_mmsa", {"audio": (400, 33), "vision": (55, 709)}, 381_380),
    ],
)
def test_parameters_without_bert_are_as_many_as_in_the_published_code(preset, shapes, parameters):
    options = config.override(self_mm.SelfMMOptions(), self_mm.REFERENCE)
    options = config.override(options, config.load_preset(preset).options)
    frames = {name: SequenceInput(*shape) for name, shape in shapes.items()}
    network = self_mm.SelfMMNetwork(options, Inputs(text=TextInput(width=768, steps=5), **frames))
    batch = {
        name: {"features": np.zeros((1, *shape), np.float32), "length": np.ones(1, np.int32)}
        for name, shape in shapes.items()
    }
    batch["text"] = {"features": np.zeros((1, 5, 768), np.float32), "mask": np.ones((1, 5), np.int32)}
    made = jax.eval_shape(lambda: network.init(jax.random.key(0), batch, train=False))["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(made)) == parameters


@pytest.mark.parametrize("padding", [pytest.param("masked", marks=pytest.mark.slow), "included"])
def test_the_parts_of_sugrm_read_padding_as_frames_of_zeros_if_they_are_to(padding):
    small = {"spt.iterations": 1, "spt.width": 8, "spt.heads": 2, "pack_text": False}
    options = config.override(
        self_mm.SelfMMOptions(), {**small, "encoder": "spt", "recalibration": True, "padding": padding}
    )
    short = _data(3)
    for name in ("audio", "vision"):
        short[name]["length"] = np.array([2, 3, 1], np.int32)
        short[name]["features"] *= (np.arange(short[name]["features"].shape[1]) < short[name]["length"][:, None])[
            ..., None
        ]
    whole = {**short, **{name: _data(3)[name] | {"features": short[name]["features"]} for name in ("audio", "vision")}}
    network = self_mm.SelfMMNetwork(options, INPUTS)
    params = params_far_from_start(network, short)
    score = quick_jit(lambda batch: network.apply({"params": params}, batch, train=False)["prediction"])
    assert np.allclose(score(short), score(whole), rtol=1e-5) == (padding == "included")


def test_only_the_parts_of_sugrm_ask_for_text_that_is_not_packed():
    reference = config.override(self_mm.SelfMMOptions(), self_mm.REFERENCE)
    assert (reference.padding, reference.pack_text, reference.encoder) == ("included", True, "lstm")
    with pytest.raises(InputError, match="set pack_text to false"):
        config.override(reference, {"encoder": "spt"})


def test_the_transformer_has_a_rate_of_its_own_and_the_lstms_have_none():
    with_lstms, with_spt = (config.override(self_mm.SelfMMOptions(), {"encoder": kind}) for kind in ("lstm", "spt"))
    names = [[group.name for group in self_mm.groups(options)] for options in (with_lstms, with_spt)]
    assert names[1] == ["encoder", *names[0]]
    assert self_mm.groups(with_spt)[0].learning_rate == 5e-4
