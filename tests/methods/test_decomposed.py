"""What ConFEDE and DMMSA share: the network against torch, stages, parameter groups, and what is left without a modality."""

import itertools
import json
import re
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from msa_jax import config
from msa_jax.encoders.bert import Bert, BertConfig
from msa_jax.errors import InputError
from msa_jax.methods.confede import METHOD
from msa_jax.methods.protocol import Inputs, SequenceInput, TextInput
from msa_jax.methods.shared import decomposed
from msa_jax.train.optimiser import groups_of
from tests.methods import decomposed_cases as cases
from tests.methods.cases import FIRST, by_layer, phase_of, step_of, trained_by
from tests.methods.decomposed_cases import ALL, LETTER, PARTS, ROWS, make_batch, make_options
from tests.quick import quick_jit

BERT = BertConfig(vocab_size=20, hidden_size=32, num_layers=3, num_heads=1, intermediate_size=16, max_positions=16)
TEXT = TextInput(width=32, steps=4, bert=BERT)
INPUTS = Inputs(text=TEXT, audio=SequenceInput(3, 2), vision=SequenceInput(4, 2))
HEADS = {
    "text": {"text_regressor", "text_similar", "text_dissimilar"},
    "audio": {"audio_encoder", "audio_regressor", "audio_similar", "audio_dissimilar"},
    "vision": {"vision_encoder", "vision_regressor", "vision_similar", "vision_dissimilar"},
}


# -- the network ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("there", "protocol"),
    [(ALL, "paper"), (ALL, "reference"), (("vision",), "paper"), (("text",), "paper")],
    ids=str,
)
def test_every_output_equals_that_of_torch(there, protocol):
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    from tests.reference import decomposed

    batch = make_batch(there)
    ours = cases.outputs_of(METHOD, batch, padding_mean=protocol == "reference")
    sizes = {LETTER[name]: (0 if name == "text" else steps, width) for name, (steps, width) in cases.SHAPES.items()}
    model = decomposed.DecomposedTorch(
        {letter: size for letter, size in sizes.items() if letter in {LETTER[name] for name in there}},
        width=8,
        layers={"a": 1, "v": 2},
        heads=2,
        feedforward=6,
        projection=5,
        fusion_hidden=(7, 6),
        part_hidden=(4,),
        regressor_hidden=(6, 5),
    )
    network = cases.network_of(METHOD, batch, padding_mean=protocol == "reference")
    flat = by_layer(cases.params_of(network))
    tensors = decomposed.network_tensors(model)
    assert tensors.keys() == flat.keys()
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(torch.tensor(flat[name].T))
    model = model.double().train()
    pooled = torch.tensor(batch["text"]["features"][:, 0]).double() if "text" in there else None
    frames = {
        LETTER[name]: (torch.tensor(batch[name]["features"]).double(), batch[name]["length"].tolist())
        for name in there
        if name != "text"
    }
    with torch.no_grad():
        theirs = {name: value.numpy() for name, value in model(pooled, frames, protocol).items()}
    compared = {"prediction": "prediction", "representation": "representation"}
    compared |= {f"{kind}_{part}": f"{kind}_{part}" for kind in ("part", "score") for part in PARTS}
    compared |= {f"regressor_{LETTER[name]}": name for name in there}
    assert theirs.keys() <= compared.keys() | {f"features_{LETTER[name]}" for name in there}
    for name, value in theirs.items():
        if name.startswith("features_"):
            found = next(ours["features"][modality] for modality in there if LETTER[modality] == name[-1])
        else:
            found = ours[compared[name]]
        np.testing.assert_allclose(found, value, atol=3e-5, err_msg=name)
    for part, value in ours["parts"].items():
        assert np.array_equal(value, ours[f"part_{part}"])
        assert np.array_equal(ours["part_scores"][part], ours[f"score_{part}"])


# Trainable parameters of the published fusion stage, BERT frozen: 18.9, 26.2 and 15.6 millions.
@pytest.mark.parametrize(
    ("audio", "vision", "layers", "count"),
    [
        ((375, 5), (500, 20), (2, 2), 18_916_994),
        ((500, 74), (500, 35), (3, 3), 26_170_754),
        ((400, 33), (55, 709), (2, 1), 15_598_466),
    ],
    ids=["mosi", "mosei", "sims"],
)
def test_the_fusion_trains_as_many_parameters_as_the_published_one(audio, vision, layers, count):
    def encoder(steps, size, number):  # 768 wide, each with a LayerNorm behind
        layer = 4 * (768 * 768 + 768) + 2 * (768 * 768 + 768) + 2 * 2 * 768
        return (size + 1) * 768 + (steps + 2) * 768 + number * layer + 2 * 768

    def mlp(*sizes):
        return sum((wide + 1) * narrow for wide, narrow in itertools.pairwise(sizes))

    expected = encoder(*audio, layers[0]) + encoder(*vision, layers[1]) + 6 * (2 * 768 + mlp(768, 384))
    expected += mlp(2304, 768, 384, 192, 96, 1) + mlp(384, 192, 96, 1)
    assert expected == count
    text = TextInput(width=768, steps=2)
    inputs = Inputs(text=text, audio=SequenceInput(*audio), vision=SequenceInput(*vision), rows=2)
    options = METHOD.options(audio_layers=layers[0], vision_layers=layers[1])
    batch = {
        "text": {"features": jnp.zeros((1, 2, 768)), "mask": jnp.ones((1, 2), jnp.int32)},
        "audio": {"features": jnp.zeros((1, 3, audio[1])), "length": jnp.ones(1, jnp.int32)},
        "vision": {"features": jnp.zeros((1, 3, vision[1])), "length": jnp.ones(1, jnp.int32)},
    }
    network = METHOD.network(options, inputs, jnp.float32)
    params = jax.eval_shape(lambda: network.init(jax.random.key(0), batch, train=False))["params"]
    flat = flatten_dict(params, sep="/")
    trained = trained_by(METHOD.stages(options, inputs)[-1], flat)
    assert sum(flat[path].size for path in trained) == count


@pytest.mark.parametrize("there", [("text", "audio"), ("audio", "vision"), ("text",), ("audio",)], ids=str)
def test_what_belongs_to_an_absent_modality_is_left_out(there):
    params, evaluated, _, terms = cases.shapes(METHOD, there, between_samples=False)
    assert {path.split("/")[0] for path in params} == {"fusion", "part_decoder"}.union(*(HEADS[name] for name in there))
    parts = {LETTER[name] + kind for name in there for kind in "sd"}
    assert evaluated["parts"].keys() == evaluated["part_scores"].keys() == parts
    assert evaluated.keys() & {"prediction", *ALL} == {"prediction", *there}
    assert evaluated["representation"].shape == (ROWS, 5 * len(parts))
    inputs, options = cases.inputs_of(make_batch(there)), make_options(METHOD)
    assert set(METHOD.head_names(options, inputs)) == {"prediction", *there}
    singles = {f"{kind}_{part}" for kind in ("part", "score") for part in parts}
    assert set(METHOD.export_names(options, inputs)) == {"representation"} | singles
    # Within a sample, a single modality has nothing to be drawn to.
    assert set(terms) == {"multimodal", "unimodal"} | ({"contrast"} if len(there) > 1 else set())
    names = [stage.name for stage in METHOD.stages(options, inputs)]
    assert names == [*(name for name in ("text", "audio", "vision") if name in there), "fusion"]


def test_outputs_and_terms_are_float32_and_one_for_each_sample():
    _, evaluated, trained, terms = cases.shapes(METHOD)
    assert {leaf.dtype for leaf in jax.tree.leaves((evaluated, trained, terms))} == {jnp.dtype("float32")}
    options, inputs = make_options(METHOD), cases.inputs_of(make_batch())
    assert all(evaluated[head].shape == (ROWS,) for head in METHOD.head_names(options, inputs))
    assert {term.shape for term in terms.values()} == {(ROWS,)}
    assert set(phase_of(METHOD, options, inputs).weights(options, inputs, {}, FIRST)) <= set(terms)
    assert set(METHOD.export_names(options, inputs)) <= set(evaluated)


def test_without_text_the_encoders_are_as_wide_as_bert():
    inputs = Inputs(audio=SequenceInput(3, 2), rows=2)
    assert decomposed.encoder_width(METHOD.options(), inputs) == 768
    assert decomposed.encoder_width(METHOD.options(), replace(inputs, text=TEXT)) == 32
    assert decomposed.encoder_width(METHOD.options(width=16), replace(inputs, text=TEXT)) == 16


@pytest.mark.slow
def test_text_is_the_pooled_state_of_cls():
    options, inputs = make_options(METHOD), Inputs(text=TEXT)
    network = METHOD.network(options, inputs, jnp.float32)
    ids = jnp.array([[5, 6, 7, 0], [5, 8, 0, 0]])
    text = {"ids": ids, "mask": (ids > 0).astype(jnp.int32)}
    params = quick_jit(lambda key: network.init(key, {"text": text}, train=False))(jax.random.key(0))["params"]

    @quick_jit
    def both(params):
        outputs = network.apply({"params": params}, {"text": text}, train=False)
        bert = params["text_encoder"]["bert"]
        hidden = Bert(BERT).apply({"params": bert}, ids, segments=text["mask"], deterministic=True)["hidden"]
        return outputs["features"]["text"], jnp.tanh(
            hidden[:, 0] @ bert["pooler"]["kernel"] + bert["pooler"]["bias"][None]
        )

    found, expected = both(params)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.slow
def test_padding_changes_nothing():
    plain = cases.outputs_of(METHOD, make_batch())
    for extra, fill in ((0, 9.0), (3, np.nan)):
        batch = make_batch(extra=extra, fill=fill)
        batch["text"]["features"] = np.nan_to_num(batch["text"]["features"])
        padded = cases.outputs_of(METHOD, batch)
        for ours, theirs in zip(jax.tree.leaves(plain), jax.tree.leaves(padded), strict=True):
            np.testing.assert_allclose(theirs, ours, atol=1e-5)


@pytest.mark.slow
def test_a_sample_by_itself_is_what_it_is_in_a_batch():
    whole, alone = (cases.outputs_of(METHOD, make_batch(rows=rows)) for rows in (ROWS, 1))
    for ours, theirs in zip(jax.tree.leaves(whole), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(theirs, ours[:1], atol=1e-5)


# -- stages -----------------------------------------------------------------------------------------------------------


def _stage_gradients(there, rows, only=(), **changes):
    """For each stage, the parameters that it leaves free and those that its loss reaches."""
    batch = make_batch(there, rows=rows)
    inputs, options = cases.inputs_of(batch), make_options(METHOD, **changes)
    network = cases.network_of(METHOD, batch, **changes)
    params, memory = cases.params_of(network), cases.memory_of(METHOD, batch, **changes)

    def total(params, stage):
        outputs = network.apply({"params": params}, batch, train=True, rngs={"dropout": jax.random.key(1)})
        terms, _ = stage.phases[0].objective(step_of(outputs, batch, memory), options, inputs)
        return sum(term.mean() for term in terms.values())

    found = {}
    for stage in METHOD.stages(options, inputs):
        if not only or stage.name in only:
            gradient = quick_jit(lambda params, stage=stage: jax.grad(total)(params, stage))(params)
            flat = by_layer(jax.tree.map(np.asarray, gradient))
            assert all(np.isfinite(value).all() for value in flat.values())
            # The bias of the keys shifts all scores of a query alike: softmax takes no notice.
            flat = {path: value for path, value in flat.items() if not path.endswith("/key/bias")}
            reached = {path for path, value in flat.items() if np.abs(value).max() > 1e-7}
            found[stage.name] = trained_by(stage, flat), reached
    return found


@pytest.mark.slow
def test_each_stage_trains_exactly_what_its_loss_reaches_and_frees():
    found = _stage_gradients(("text", "audio"), 7)
    for free, reached in found.values():
        assert free == reached
    trained = {name: {path.split("/")[0] for path in free} for name, (free, _) in found.items()}
    assert trained["audio"] == {"audio_encoder", "audio_regressor"}
    assert trained["text"] == {"text_regressor"}  # features: there is no text encoder to train
    heads = {f"{name}_{kind}" for name in ("text", "audio") for kind in ("similar", "dissimilar")}
    assert trained["fusion"] == {"audio_encoder", "fusion", "part_decoder"} | heads


@pytest.mark.parametrize(("rows", "between_samples"), [(7, True), (1, False)])
def test_gradients_are_finite_with_one_modality_and_one_sample(rows, between_samples):
    assert _stage_gradients(("text",), rows, only=("fusion",), between_samples=between_samples)


PATHS = {
    "text_encoder/bert/embeddings/word/embedding": "text_encoder",
    "text_encoder/bert/layer_1/output/kernel": "text_encoder",
    "text_encoder/bert/layer_2/output/kernel": "last",
    "text_encoder/bert/pooler/kernel": "text_encoder",
    "text_regressor/score/kernel": "text_regressor",
    "text_similar/linear/kernel": "rest",
    "audio_encoder/token": "audio_encoder",
    "audio_regressor/score/kernel": "audio_regressor",
    "vision_encoder/positions": "vision_encoder",
    "vision_regressor/score/kernel": "vision_regressor",
    "fusion/score/kernel": "rest",
    "part_decoder/score/kernel": "rest",
}


def _trained(stage):
    return {PATHS[path] for path in trained_by(stage, PATHS)}


def test_what_a_stage_freezes():
    stages = METHOD.stages(METHOD.options(), INPUTS)
    assert {stage.name: _trained(stage) for stage in stages} == {
        "text_head": {"text_regressor"},
        "text": {"text_encoder", "last", "text_regressor"},
        "audio": {"audio_encoder", "audio_regressor"},
        "vision": {"vision_encoder", "vision_regressor"},
        "fusion": {"audio_encoder", "vision_encoder", "rest"},
    }
    changed = METHOD.options(finetune_text_in_fusion=True, text_layers=1)
    by_name = {stage.name: _trained(stage) for stage in METHOD.stages(changed, INPUTS)}
    assert by_name["fusion"] == {"text_encoder", "last", "audio_encoder", "vision_encoder", "rest"}
    assert by_name["text"] == {"last", "text_regressor"}
    assert by_name["text_head"] == {"text_regressor"}


def test_the_stages_have_the_published_settings_for_mosi():
    options = METHOD.options()
    resolved = {stage.name: config.override(options, stage.options) for stage in METHOD.stages(options, INPUTS)}
    assert {name: own.max_epochs for name, own in resolved.items()} == {
        "text_head": 66, "text": 134, "audio": 100, "vision": 100, "fusion": 25,
    }  # fmt: skip
    assert {name: own.batch_size for name, own in resolved.items()} == {
        "text_head": 128, "text": 128, "audio": 128, "vision": 128, "fusion": 16,
    }  # fmt: skip
    warm_up = {"text": 5 / 200, "audio": 10 / 100, "vision": 5 / 100, "fusion": 1 / 25}
    for name, own in resolved.items():
        assert own.patience == own.max_epochs  # nothing is stopped early
        assert own.schedule == "linear"
        assert own.warmup == pytest.approx(warm_up[name.removesuffix("_head")])
        rates, decays = vars(own.learning_rate).values(), vars(own.weight_decay).values()
        assert set(rates) == {1e-4}
        assert set(decays) == {1e-3}


def test_any_epoch_may_be_selected_but_in_the_reference_protocol():
    assert {stage.select_from for stage in METHOD.stages(METHOD.options(), INPUTS)} == {1}


# Epochs of the text with BERT frozen, and the first epoch that each of the authors' scripts saves.
SAVED = {"mosi": (65, 67, 31, 21, 2), "mosei": (49, 51, 6, 6, 2), "sims": (49, 51, 31, 51, 11)}


@pytest.mark.parametrize("name", SAVED)
def test_the_reference_protocol_selects_from_the_epochs_that_the_authors_save_from(name):
    frozen, text, audio, vision, fusion = SAVED[name]
    preset = config.load_preset(f"confede_{name}_reference")
    assert preset.protocol == "reference"
    options = config.override(config.override(METHOD.options(), METHOD.reference), preset.options)
    resolved = [(stage, config.override(options, stage.options).max_epochs) for stage in METHOD.stages(options, INPUTS)]
    # The last epoch with BERT frozen is what the others go on from.
    first = {stage.name: min(stage.select_from, epochs) for stage, epochs in resolved}
    assert first == {
        "text_head": frozen, "text": text - frozen, "audio": audio, "vision": vision, "fusion": fusion,
    }  # fmt: skip
    modes = {stage.name: config.override(options, stage.options).weight_decay_mode for stage, _ in resolved}
    coupled = {stage for stage, mode in modes.items() if mode == "coupled"}
    assert coupled == (set() if name == "mosei" else {"audio", "vision"})
    paper = config.flatten(config.override(METHOD.options(), config.load_preset(f"confede_{name}").options))
    differ = {option for option, value in config.flatten(options).items() if value != paper[option]}
    same = ("max_epochs", "batch_size", "layers", "warmup", "learning_rate", "patience")
    assert not [option for option in differ if any(word in option for word in same)]


def test_each_encoder_is_selected_by_its_own_score_and_label_where_there_is_one():
    inputs = replace(INPUTS, columns=("label_t", "label_a"))
    found = {stage.name: (stage.select.head, stage.select.label) for stage in METHOD.stages(METHOD.options(), inputs)}
    assert found == {
        "text_head": ("text", "label_t"),
        "text": ("text", "label_t"),
        "audio": ("audio", "label_a"),
        "vision": ("vision", "label"),
        "fusion": ("prediction", "label"),
    }


@pytest.mark.parametrize("loss", ["l2", "smooth_l1"])
def test_the_loss_of_an_encoder_is_that_of_its_score_against_its_label_if_a_sample_has_its_modality(loss):
    batch, outputs = make_batch(own_labels=True), cases.some_outputs()
    inputs, options = cases.inputs_of(batch), make_options(METHOD, encoder_loss=loss, between_samples=False)
    stages = {stage.name: stage for stage in METHOD.stages(options, inputs)}
    for name in ALL:
        terms, memory = stages[name].phases[0].objective(step_of(outputs, batch), options, inputs)
        error = outputs[name] - batch[f"label_{LETTER[name]}"].astype(np.float64)
        expected = np.square(error) if loss == "l2" else cases.smooth_l1(error)
        assert terms.keys() == {name}
        np.testing.assert_allclose(terms[name], np.where(cases.present(name), expected, 0), rtol=1e-5)
        assert memory == {}


def test_stages_can_be_left_out():
    changes = {"stage_text.max_epochs": 2, "stage_audio.max_epochs": 0, "text_head_share": 0.0}
    names = [stage.name for stage in METHOD.stages(make_options(METHOD, **changes), INPUTS)]
    assert names == ["text", "vision", "fusion"]
    frozen = make_options(METHOD, finetune_text=False)
    names = [stage.name for stage in METHOD.stages(frozen, INPUTS)]
    assert names == ["text", "audio", "vision", "fusion"]  # the engine freezes BERT in all of them


def test_biases_and_layer_norms_have_no_weight_decay():
    shapes = {path: leaf.shape for path, leaf in flatten_dict(cases.shapes(METHOD)[0], sep="/").items()}
    options = METHOD.options(learning_rate=config.PerGroup(text=1e-5, audio=2e-5, vision=3e-5, other=4e-5))
    group = {group.name: group for group in METHOD.groups(options)}
    everything = replace(phase_of(METHOD, options, Inputs()), frozen=None)
    assigned = {path: name for path, (name, *_) in groups_of(shapes, METHOD.groups(options), everything).items()}
    assert {"audio", "vision", "other"} <= set(assigned.values())
    for path, name in assigned.items():
        owner = path.split("/")[0].removesuffix("_encoder")
        rate = {"audio": 2e-5, "vision": 3e-5}.get(owner if path.split("/")[0].endswith("_encoder") else "", 4e-5)
        assert group[name].learning_rate == rate, path
        exempt = path.endswith("bias") or ("norm" in path and path.endswith("scale"))
        assert group[name].weight_decay == (0.0 if exempt else 1e-3), path


# -- options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dropout", 1.0),
        ("projector_dropout", -0.1),
        ("heads", 0),
        ("width", 0),
        ("text_layers", 0),
        ("fusion_hidden", "8,0"),
        ("smooth_l1_beta", 0.0),
        ("temperature", 0.0),
        ("text_head_share", 1.0),
        ("stage_text.max_epochs", -1),
        ("stage_audio.batch_size", 0),
        ("stage_vision.warmup", 1.0),
        ("stage_vision.patience", 0),
        ("stage_audio.select_from", 0),
        ("select_from", 0),
        ("weights.contrast", -0.1),
        ("retrieval.candidates", 1),
        ("retrieval.refresh_epochs", 0),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(name, value):
    with pytest.raises(InputError, match=f"option {re.escape(name)} is {value}; expected"):
        config.override(METHOD.options(), {name: value})


def test_heads_must_divide_the_width_of_audio_and_vision():
    twelve = TextInput(width=12, steps=4)
    with pytest.raises(InputError, match="option heads is 8; expected a divisor of 12"):
        METHOD.check(METHOD.options(), Inputs(text=twelve, audio=SequenceInput(3, 2)))
    METHOD.check(METHOD.options(), Inputs(text=twelve))
    METHOD.check(METHOD.options(width=16), Inputs(text=twelve, audio=SequenceInput(3, 2)))


def test_options_survive_json_and_the_reference_protocol_changes_each_that_it_names():
    options = METHOD.options()
    assert config.override(METHOD.options(), json.loads(json.dumps(config.to_json(options)))) == options
    before, after = config.to_json(options), config.to_json(config.override(options, METHOD.reference))
    assert {name for name in before if before[name] != after[name]} == set(METHOD.reference)
