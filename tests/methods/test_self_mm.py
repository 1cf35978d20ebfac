"""Self-MM: its options, its terms, and that a step costs the same however many rows are remembered."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax import config
from msa_jax.data.batches import epoch_plan
from msa_jax.errors import InputError
from msa_jax.methods import self_mm, unimodal_tasks
from msa_jax.methods.protocol import Clock, Inputs, Stage
from msa_jax.train.program import Program, Span

INPUTS = Inputs(audio=(6, 5), vision=(7, 4), rows=64, columns=("label_a", "label_v"))


def _data(rows: int) -> dict:
    rng = np.random.default_rng(0)
    return {
        "audio": {"features": rng.normal(size=(rows, 6, 5)).astype(np.float32), "length": np.full(rows, 6, np.int32)},
        "vision": {"features": rng.normal(size=(rows, 7, 4)).astype(np.float32), "length": np.full(rows, 7, np.int32)},
        "label": rng.uniform(-3, 3, rows).astype(np.float32),
    }


def _program(rows: int, **changes) -> tuple[Program, object, dict]:
    options = config.override(self_mm.SelfMMOptions(), changes)
    inputs = Inputs(audio=(6, 5), vision=(7, 4), rows=rows)
    program = Program(
        self_mm.METHOD, options, inputs, stage=Stage(name="train"), updates=10, capacity=None, dtype=jnp.float32
    )
    data = _data(rows)
    batch = {**jax.tree.map(lambda x: x[:2], data), "row": np.arange(2), "weight": np.ones(2, np.float32)}
    params = program.init_params(jax.random.key(0), batch)
    memory = unimodal_tasks.init_memory(options, inputs, {"label": jnp.asarray(data["label"])})
    return program, program.start(params, memory, jax.random.key(0)), data


def test_a_step_copies_no_memory():
    rows = 54321  # a size that nothing else in the program has
    program, state, data = _program(rows)
    plan = epoch_plan(rows, 32, seed=0, epoch=1).chunk(0, 4)
    text = program.train.lower(state, {}, data, plan, Span.of(0, 4, count=4)).compile().as_text()
    features = [line for line in text.splitlines() if re.search(rf"f32\[{rows},(128|16|32)\]", line)]
    assert any(" scatter(" in line for line in features)  # the memories are there, and written to
    assert not [line for line in features if re.search(r" (copy|select|add)\(", line)]


@pytest.mark.parametrize(
    ("tasks", "terms"),
    [("m", {"multimodal"}), ("M,A", {"multimodal", "audio"}), ("m,t,a,v", {"multimodal", "audio", "vision"})],
)
def test_tasks_choose_the_terms_of_the_loss(tasks, terms):
    program, state, data = _program(64, tasks=tasks)
    batch = {**data, "row": np.arange(64), "weight": np.ones(64, np.float32)}
    outputs = program.network.apply({"params": state.params}, batch, train=False)
    found, _ = unimodal_tasks.objective(
        outputs, batch, state.memory, Clock(jnp.int32(1), jnp.int32(0)), program.options, INPUTS
    )
    assert set(found) == terms


def test_unimodal_terms_are_zero_until_labels_differ_and_then_weighted_by_tanh():
    program, state, data = _program(64)
    batch = {**data, "row": np.arange(64), "weight": np.ones(64, np.float32)}
    outputs = program.network.apply({"params": state.params}, batch, train=False)
    clock = Clock(jnp.int32(1), jnp.int32(0))
    terms, _ = unimodal_tasks.objective(outputs, batch, state.memory, clock, program.options, INPUTS)
    np.testing.assert_array_equal(terms["audio"], 0)
    moved = state.memory.labels["a"] + 0.7
    memory = state.memory._replace(labels={**state.memory.labels, "a": moved})
    terms, _ = unimodal_tasks.objective(outputs, batch, memory, clock, program.options, INPUTS)
    expected = np.tanh(0.7) * np.abs(np.asarray(outputs["audio"]) - np.asarray(moved))
    np.testing.assert_allclose(terms["audio"], expected, rtol=1e-4)


def test_human_labels_take_the_place_of_generated_ones():
    program, state, data = _program(64, unimodal_labels="human")
    assert state.memory == {}
    human = data["label"] + np.float32(1.0)
    batch = {**data, "label_a": human, "label_v": human, "row": np.arange(64), "weight": np.ones(64, np.float32)}
    outputs = program.network.apply({"params": state.params}, batch, train=False)
    terms, _ = unimodal_tasks.objective(outputs, batch, {}, Clock(jnp.int32(1), jnp.int32(0)), program.options, INPUTS)
    expected = np.tanh(1.0) * np.abs(np.asarray(outputs["vision"]) - human)
    np.testing.assert_allclose(terms["vision"], expected, rtol=1e-4)


def test_human_labels_that_the_dataset_lacks_are_an_error():
    options = config.override(self_mm.SelfMMOptions(), {"unimodal_labels": "human"})
    unimodal_tasks.check(options, INPUTS)
    with pytest.raises(InputError, match="label_a, label_v"):
        unimodal_tasks.check(options, Inputs(audio=(6, 5), vision=(7, 4)))


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
    network = self_mm.SelfMMNetwork(options, Inputs(text=768, text_steps=5, **shapes))
    batch = {
        name: {"features": np.zeros((1, *shape), np.float32), "length": np.ones(1, np.int32)}
        for name, shape in shapes.items()
    }
    batch["text"] = {"features": np.zeros((1, 5, 768), np.float32), "mask": np.ones((1, 5), np.int32)}
    made = jax.eval_shape(lambda: network.init(jax.random.key(0), batch, train=False))["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(made)) == parameters
