"""What every method keeps to: options, groups, outputs, terms and memory as the engine expects them."""

import re
from dataclasses import replace

import jax
import jax.numpy as jnp
import pytest

from msa_jax import config, methods
from msa_jax.errors import InputError
from msa_jax.methods import BUILT_IN, METHODS
from msa_jax.methods.protocol import Inputs, Phase, SequenceInput, TextInput
from msa_jax.methods.shared.groups import encoder_groups
from msa_jax.testing import Conformance, trace_phases
from msa_jax.train.optimiser import groups_of
from msa_jax.train.prepare import prepare
from msa_jax.train.runner import Runner
from msa_jax.train.settings import resolve
from tests.methods.small import SMALL as SIZES
from tests.tiny import TOY, tiny_dataset

SMALL = {"scratch_layers": 1, "scratch_width": 32, "max_tokens": 12}


# -- names and options ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_method_is_known_by_its_own_name_and_says_where_it_is_from(name):
    method = methods.get(name)
    assert method.name == name
    assert re.search(r"\S", __import__(f"msa_jax.methods.{name}", fromlist=["x"]).__doc__)


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
    phase = Phase(objective=lambda step, options, inputs: ({}, step.memory))
    assigned = groups_of(dict.fromkeys(paths, (2, 2)), encoder_groups(options), phase)
    assert {path: group[name].weight_decay for path, (name,) in assigned.items()} == paths


def test_the_modalities_are_those_with_a_shape():
    inputs = Inputs(audio=SequenceInput(3, 5))
    assert inputs.modalities == ("audio",)
    more = replace(inputs, text=TextInput(width=8, steps=2), vision=SequenceInput(2, 2))
    assert more.modalities == ("text", "audio", "vision")


@pytest.mark.parametrize(
    ("label_range", "limit"), [((-3.0, 3.0), 3.0), ((-1.0, 1.0), 1.0), ((-2.0, 5.0), 5.0), ((-4.0, 1.0), 4.0)]
)
def test_the_limit_is_the_largest_absolute_label(label_range, limit):
    assert Inputs(label_range=label_range).limit == limit


# -- number formats ---------------------------------------------------------------------------------------------------


# Nothing in these differs from the others; all of them take a minute.
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in ("self_mm", "mctn") else pytest.mark.slow) for name in BUILT_IN]
)
def test_where_jax_has_64_bits_parameters_and_outputs_and_losses_have_32(name):
    conformance = Conformance(METHODS[name], SIZES.get(name))
    with jax.enable_x64(True):
        held, model = conformance.inits.shapes, conformance.model
        outputs = jax.eval_shape(
            lambda held, batch: model.apply(*held, batch, train=False)[0], held, conformance.batch([0])
        )
        measured = trace_phases(conformance.inits, conformance.columns)
    wide = {jnp.dtype(each) for each in ("float64", "int64")}
    found = jax.tree_util.tree_leaves_with_path((held, outputs, measured))
    assert [jax.tree_util.keystr(path) for path, leaf in found if leaf.dtype in wide] == []


# -- methods from outside ---------------------------------------------------------------------------------------------


def test_a_registered_method_is_known_until_it_is_removed():
    assert methods.register(TOY) is TOY
    assert methods.get("toy") is TOY
    assert "toy" in list(methods.METHODS)
    assert len(methods.METHODS) == len(BUILT_IN) + 1
    methods.METHODS.remove("toy")
    with pytest.raises(InputError, match="unknown method 'toy'"):
        methods.get("toy")


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (replace(TOY, name="self_mm"), "method 'self_mm' is one of msa_jax; choose another name"),
        (replace(TOY, name="to y"), "expected a name of letters, digits and underscores"),
        ("toy", "found str; expected a msa_jax.methods.protocol.Method"),
    ],
)
def test_what_cannot_be_registered_is_refused(method, message):
    with pytest.raises(InputError, match=message):
        methods.register(method)


# -- presets ----------------------------------------------------------------------------------------------------------


def settings_of(name):
    return resolve(config.load_preset(name).method, preset=name, **SMALL, text_encoder="scratch", batch_size=4)


def prepared_for(name):
    settings = settings_of(name)
    batches = max(4, settings.options.accumulate)  # a window of them at least
    dataset = tiny_dataset(
        rows=(4 * batches, 2, 2),
        text="text_bert",
        human_labels=True,
        aligned=settings.method.needs_aligned(settings.options),
    )
    return settings, prepare(dataset, settings.method, settings.options)


@pytest.mark.parametrize("name", config.preset_names())
def test_every_preset_is_accepted(name):
    preset = config.load_preset(name)
    assert preset.description
    assert config.to_json(resolve(preset.method, preset=name).options).items() >= preset.options.items()


def test_mosi_clean_has_the_presets_of_mosi_utterance_which_standardise_raw_features():
    names = [name for name in config.preset_names() if name.endswith("_mosi_utterance")]
    assert len(names) > 20
    for name in names:
        preset, clean = (config.load_preset(each) for each in (name, name.replace("utterance", "clean")))
        assert (clean.method, clean.options) == (preset.method, preset.options), name
        assert resolve(preset.method, preset=name).options.standardise == "train", name


def traced_presets():
    """Quickly one preset of each method, the small one for synthetic data if there is one; its others differ in sizes and
    rates. Some methods take most of the time, and are slow. Of presets that come to the same here one is traced."""
    seen = {
        "confede",
        "dmmsa",
        "graph_mfn",
        "lnln",
        "mctn",
        "mfm",
        "misa",
        "mmcl",
        "mult",
        "spt",
        "sugrm",
        "tetfn",
        "tfr_net",
    }
    traced = set()
    for name in sorted(config.preset_names(), key=lambda name: (not name.endswith("_synthetic"), name)):
        method = config.load_preset(name).method
        settings = settings_of(name)
        here = method, settings.protocol, str(config.to_json(settings.options))
        if here in traced:
            continue
        traced.add(here)
        yield pytest.param(name, marks=[pytest.mark.slow] if method in seen else [])
        seen.add(method)


@pytest.mark.parametrize("name", list(traced_presets()))
def test_every_step_of_a_preset_can_be_traced(name):
    settings, prepared = prepared_for(name)
    inits = Runner(settings.method, settings.options, prepared, metric_kind="mosi").inits
    inits.check()
    trace_phases(inits, prepared.columns["train"])
