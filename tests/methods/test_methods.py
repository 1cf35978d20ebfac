"""What every method keeps to: options, groups, outputs, terms and memory as the engine expects them."""

import dataclasses
import json
import re
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from msa_jax import config, methods
from msa_jax.data.batches import epoch_plan
from msa_jax.data.preprocess import text_lengths
from msa_jax.errors import InputError
from msa_jax.methods import METHODS
from msa_jax.methods.groups import encoder_groups
from msa_jax.methods.protocol import Clock, Inputs, Stage
from msa_jax.train.experiment import resolve
from msa_jax.train.optimiser import assign_groups
from msa_jax.train.prepare import compute_dtype, example_batch, prepare
from msa_jax.train.program import Program
from msa_jax.train.run import Runner
from msa_jax.train.stages import resolve_stages, text_capacity
from tests.tiny import tiny_dataset

SMALL = {"scratch_layers": 1, "scratch_width": 32, "max_tokens": 12}


@dataclasses.dataclass
class Built:
    """A method's network in shapes only, on the tiny dataset."""

    name: str
    options: config.Options
    inputs: Inputs
    params: dict
    outputs: dict
    terms: dict
    memories: tuple


def build(name: str, protocol: str) -> Built:
    method = METHODS[name]
    changes = {**(method.reference if protocol == "reference" else {}), **SMALL}
    options = config.override(method.options(), changes)
    prepared = prepare(tiny_dataset(human_labels=True), method, options)
    network = method.network(options, prepared.inputs, jnp.float32)
    batch = example_batch(prepared.columns["train"], 5)

    def step(key):
        params = network.init({"params": key}, batch, train=False)["params"]
        outputs = network.apply({"params": params}, batch, train=True, rngs={"dropout": key})
        labels = {name: jnp.asarray(prepared.columns["train"][name]) for name in ("label", *prepared.inputs.columns)}
        before = method.init_memory(options, prepared.inputs, labels)
        clock = Clock(epoch=jnp.int32(1), step=jnp.int32(0))
        terms, memory = method.objective(outputs, batch, before, clock, options, prepared.inputs)
        after = method.end_epoch(memory, {term: jnp.float32(1) for term in (*terms, "loss")}, options)
        weights = {name: jnp.asarray(value) for name, value in method.weights(options, memory).items()}
        return params, outputs, terms, weights, (before, memory, after)

    params, outputs, terms, weights, memories = jax.eval_shape(step, jax.random.key(0))
    assert set(weights) <= set(terms)
    return Built(name, options, prepared.inputs, flatten_dict(params, sep="/"), outputs, terms, memories)


@pytest.fixture(
    scope="module", params=[(name, protocol) for name in METHODS for protocol in ("paper", "reference")], ids=str
)
def built(request) -> Built:
    return build(*request.param)


def test_every_parameter_has_a_group_and_every_group_of_a_modality_its_encoder(built):
    method = METHODS[built.name]
    assigned = assign_groups(list(built.params), method.groups(built.options), Stage(name="all"))
    assert None not in assigned.values()
    for path, group in assigned.items():
        first = path.split("/")[0]
        want = {
            "text_encoder": "text",
            "audio_encoder": "audio",
            "vision_encoder": "vision",
            "sequence_encoder": "encoder",
        }
        assert group.removesuffix("_no_decay") == want.get(first.removesuffix("_projection"), "other"), path


def test_parameters_are_float32(built):
    assert {value.dtype for value in built.params.values()} == {jnp.dtype("float32")}


def test_the_heads_are_scores_one_for_each_sample(built):
    method = METHODS[built.name]
    assert "prediction" in method.heads
    for head in method.heads:
        assert built.outputs[head].shape == (5,)
        assert built.outputs[head].dtype == jnp.float32


def test_loss_terms_are_float32_one_for_each_sample_or_one_for_the_batch(built):
    assert built.terms
    for name, term in built.terms.items():
        assert term.shape in ((5,), ()), name
        assert term.dtype == jnp.float32, name
        assert name != "loss"  # the engine's name for their sum


def test_the_memory_keeps_its_structure_shapes_and_types(built):
    before, after_step, after_epoch = (
        jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype)), memory) for memory in built.memories
    )
    assert before == after_step == after_epoch


def test_records_are_one_value_for_each_training_row(built):
    for name, value in jax.eval_shape(METHODS[built.name].records, built.memories[0]).items():
        assert value.shape == (built.inputs.rows,), name


# -- names and options ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_known_by_its_own_name_and_says_where_it_is_from(name):
    method = methods.get(name)
    assert method.name == name
    assert method.paper
    assert re.search(r"\S", __import__(f"msa_jax.methods.{name}", fromlist=["x"]).__doc__)


@pytest.mark.parametrize("name", METHODS)
def test_options_survive_json(name):
    options = METHODS[name].options()
    content = json.loads(json.dumps(config.to_json(options)))
    assert config.override(METHODS[name].options(), content) == options


@pytest.mark.parametrize("name", METHODS)
def test_the_reference_protocol_names_known_options_and_changes_each(name):
    paper = METHODS[name].options()
    reference = config.override(paper, METHODS[name].reference)
    before, after = config.to_json(paper), config.to_json(reference)
    assert {option for option in before if before[option] != after[option]} == set(METHODS[name].reference)


@pytest.mark.parametrize(("given", "near"), [("selfmm", "self_mm"), ("text-only", "text_only"), ("Self_MM", "self_mm")])
def test_an_unknown_method_is_answered_with_the_nearest(given, near):
    with pytest.raises(InputError, match=f"unknown method '{given}'; did you mean {near}"):
        methods.get(given)


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("self_mm", "dropout.m", 1.0),
        ("self_mm", "dropout.v", -0.1),
        ("self_mm", "audio_hidden", 0),
        ("self_mm", "vision_hidden", -3),
        ("self_mm", "audio_size", 0),
        ("self_mm", "feature_size.m", 0.0),
        ("self_mm", "feature_size.a", 2.5),
        ("self_mm", "feature_size.t", -2.0),
        ("self_mm", "label_limit", 0.0),
        ("self_mm", "label_limit", -1.0),
        ("text_only", "dropout", 1.0),
    ],
)
def test_a_value_that_no_network_can_have_is_refused_by_the_options(name, option, value):
    with pytest.raises(InputError, match=f"option {re.escape(option)} is {value}; expected"):
        config.override(METHODS[name].options(), {option: value})


# -- groups and inputs ------------------------------------------------------------------------------------------------


def test_biases_and_norms_of_the_text_encoder_have_no_weight_decay():
    options = config.override(METHODS["self_mm"].options(), {"weight_decay.text": 0.1, "weight_decay.other": 0.2})
    group = {group.name: group for group in encoder_groups(options)}
    paths = {
        "text_encoder/bert/layer_0/attention/query/kernel": 0.1,
        "text_encoder/bert/embeddings/word/embedding": 0.1,
        "text_encoder/bert/layer_0/attention/query/bias": 0.0,
        "text_encoder/bert/layer_0/attention_norm/scale": 0.0,
        "text_encoder/bert/layer_0/attention_norm/bias": 0.0,
        "text_encoder/bert/embeddings/norm/scale": 0.0,
        "fusion_head/score/bias": 0.2,
    }
    assigned = assign_groups(list(paths), encoder_groups(options), Stage(name="all"))
    assert {path: group[name].weight_decay for path, name in assigned.items()} == paths


def test_the_modalities_are_those_with_a_shape():
    inputs = Inputs(audio=(3, 5))
    assert inputs.modalities == ("audio",)
    assert replace(inputs, text=8, vision=(2, 2)).modalities == ("text", "audio", "vision")


@pytest.mark.parametrize(
    ("label_range", "limit"), [((-3.0, 3.0), 3.0), ((-1.0, 1.0), 1.0), ((-2.0, 5.0), 5.0), ((-4.0, 1.0), 4.0)]
)
def test_the_limit_is_the_largest_absolute_label(label_range, limit):
    assert Inputs(label_range=label_range).limit == limit


# -- presets ----------------------------------------------------------------------------------------------------------


def prepared_for(name):
    settings = resolve(config.load_preset(name).method, preset=name, **SMALL, text_encoder="scratch", batch_size=4)
    return settings, prepare(tiny_dataset(rows=(16, 2, 2)), settings.method, settings.options)


@pytest.mark.parametrize("name", config.preset_names())
def test_every_preset_is_accepted_and_its_network_and_stages_can_be_built(name):
    preset = config.load_preset(name)
    assert preset.description
    assert config.to_json(resolve(preset.method, preset=name).options).items() >= preset.options.items()
    settings, prepared = prepared_for(name)
    Runner(settings.method, settings.options, prepared, metric_kind="mosi").check()


@pytest.mark.slow
@pytest.mark.parametrize("name", config.preset_names())
def test_a_step_of_the_last_stage_of_every_preset_can_be_traced(name):
    settings, prepared = prepared_for(name)
    method = settings.method
    columns = prepared.columns["train"]
    stage, options = resolve_stages(method, settings.options, prepared.inputs)[-1]
    capacity = None if stage.partners else text_capacity(columns, options)
    program = Program(
        method, options, prepared.inputs, stage=stage, updates=1, capacity=capacity, dtype=compute_dtype(options)
    )

    def begin(key):
        params = program.network.init({"params": key}, example_batch(columns, 2), train=False)["params"]
        trained, frozen = program.split(params)
        memory = method.init_memory(options, prepared.inputs, {"label": columns["label"]})
        return program.start(trained, memory, key), frozen

    state, frozen = jax.eval_shape(begin, jax.random.key(0))
    lengths = None if capacity is None else text_lengths(columns)
    plan = epoch_plan(16, 4, seed=0, epoch=1, lengths=lengths, capacity=capacity)
    number = np.int32(4)
    after, report = jax.eval_shape(program.train, state, frozen, columns, plan, number, number, number, number)
    assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, state)
    assert "loss" in report.sums
