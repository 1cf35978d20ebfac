"""MAG-BERT: packed text, padding, absent modalities, the two protocols, and what it refuses."""

import functools
import re
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from msa_jax import config
from msa_jax.data.packing import Capacity, pack, plan_packing
from msa_jax.encoders.bert import Bert, BertConfig
from msa_jax.errors import InputError
from msa_jax.layers.stack import unstack
from msa_jax.methods.mag_bert import METHOD, MagBertOptions
from msa_jax.methods.protocol import Clock, Inputs, SequenceInput, Step, TextInput, check_inputs
from msa_jax.methods.shared.aligned_sequences import CTCOptions
from tests.methods.cases import add_frames, params_far_from_start
from tests.quick import quick_jit

BERT = BertConfig(
    vocab_size=30,
    hidden_size=32,
    num_layers=1,
    num_heads=2,
    intermediate_size=48,
    max_positions=16,
    hidden_dropout=0.0,
    attention_dropout=0.0,
)
TOKENS = (7, 3, 5, 2)
SHAPES = {"audio": (9, 4), "vision": (6, 3)}
LENGTHS = {"audio": (9, 2, 5, 1), "vision": (4, 6, 5, 3)}
INPUTS = Inputs(
    text=TextInput(width=32, steps=7, bert=BERT),
    audio=SequenceInput(*SHAPES["audio"]),
    vision=SequenceInput(*SHAPES["vision"]),
    rows=4,
)
OPTIONS = MagBertOptions(gate_dropout=0.0, dropout=0.0)


def tokens(rows: int = 4, extra: int = 0) -> dict[str, np.ndarray]:
    """Padded text of the first `rows` samples, with `extra` more steps of padding."""
    steps = max(TOKENS) + extra
    mask = (np.arange(steps) < np.array(TOKENS)[:rows, None]).astype(np.int32)
    ids = np.random.default_rng(0).integers(1, 30, (4, max(TOKENS))).astype(np.int32)[:rows]
    return {"ids": np.pad(ids, [(0, 0), (0, extra)]) * mask, "mask": mask}


def packed(text: dict[str, np.ndarray]) -> dict[str, jax.Array]:
    """The same text in rows of 9 slots that several utterances share."""
    packing, rows = plan_packing(np.array([text["mask"].sum(1)]), 9)
    assert rows.max() < 3
    return pack(text["ids"], text["mask"], packing.row[0], packing.offset[0], Capacity(rows=3, width=9))


def batch_of(there=("text", "audio", "vision"), *, rows: int = 4, extra: int = 0, fill: float = 0.0) -> dict:
    """A batch of the first `rows` samples with these modalities, `fill` at the padding of frames."""
    batch = {"text": tokens(rows, extra)} if "text" in there else {}
    add_frames(batch, there, SHAPES, LENGTHS, rows=rows, extra=extra, fill=fill)
    label = np.array([1.0, -2.0, 0.5, 3.0], np.float32)[:rows]
    return {**batch, "label": label, "weight": np.ones(rows, np.float32), "row": np.arange(rows, dtype=np.int32)}


def network_of(options: MagBertOptions = OPTIONS, inputs: Inputs = INPUTS, dtype=jnp.float32):
    return METHOD.network(options, inputs, dtype)


@pytest.fixture(scope="module")
def params() -> dict:
    """Parameters of all modalities with which every part of the network makes a difference to the scores."""
    made = flatten_dict(params_far_from_start(network_of(), batch_of()), sep="/")
    for path, value in made.items():
        if path.endswith("scale"):
            made[path] = 1 + value
        elif path.startswith("text_encoder/") and path.endswith("kernel"):
            made[path] = value / 2
    return unflatten_dict(made, sep="/")


@functools.cache
def scorer(options: MagBertOptions, inputs: Inputs, dtype):
    network = network_of(options, inputs, dtype)
    return quick_jit(lambda params, batch: network.apply({"params": params}, batch, train=False)["prediction"])


def score(params: dict, batch: dict, options=OPTIONS, inputs=INPUTS, dtype=jnp.float32) -> np.ndarray:
    """[B], the scores in evaluation."""
    return np.asarray(scorer(options, inputs, dtype)(params, batch))


@functools.cache
def differentiated(options: MagBertOptions, inputs: Inputs):
    network, (stage,) = network_of(options, inputs), METHOD.stages(options, inputs)

    def loss(params, batch):
        outputs = network.apply({"params": params}, batch, train=True, rngs={"dropout": jax.random.key(0)})
        step = Step(outputs, batch, {}, Clock(jnp.int32(1), jnp.int32(0)), jax.random.key(1), {})
        terms, memory = stage.phases[0].objective(step, options, inputs)
        assert set(terms) == {"multimodal"}
        assert memory == {}
        return (terms["multimodal"] * batch["weight"]).sum() / batch["weight"].sum()

    return quick_jit(jax.value_and_grad(loss))


def loss_and_gradients(params: dict, batch: dict, options=OPTIONS, inputs=INPUTS) -> tuple[float, dict]:
    """The engine's mean of the one term over the samples that count, and its gradients by path."""
    value, gradient = differentiated(options, inputs)(params, batch)
    return float(value), flatten_dict(gradient, sep="/")


def assert_same(found: dict, wanted: dict, tolerance: float = 1e-5) -> None:
    assert found.keys() == wanted.keys()
    for path, value in wanted.items():
        if path.endswith("key/bias"):  # it moves all scores of a softmax alike, so that its gradient is rounding
            continue
        limit = tolerance * max(float(np.abs(value).max()), 1e-2)
        np.testing.assert_allclose(found[path], value, rtol=0, atol=limit, err_msg=path)


@pytest.mark.slow
def test_packed_text_gives_the_same_scores_and_gradients(params):
    padded = batch_of()
    together = {**padded, "text": packed(padded["text"])}
    np.testing.assert_allclose(score(params, together), score(params, padded), atol=1e-5)
    value, gradient = loss_and_gradients(params, padded)
    other, found = loss_and_gradients(params, together)
    assert other == pytest.approx(value, rel=1e-5)
    assert_same(found, gradient)
    for name in ("audio", "vision"):
        assert np.abs(gradient[f"gate/{name}_gate/kernel"]).max() > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(
    "alignment", ["adaptive", *(pytest.param(way, marks=pytest.mark.slow) for way in ("contiguous", "strided"))]
)
def test_padding_changes_nothing(params, alignment):
    options = replace(OPTIONS, alignment=alignment)
    want = score(params, batch_of(), options)
    np.testing.assert_allclose(score(params, batch_of(extra=3, fill=1e6), options), want, atol=1e-5)
    longer = batch_of(extra=3, fill=1e6)
    longer["text"] = packed(longer["text"])
    np.testing.assert_allclose(score(params, longer, options), want, atol=1e-5)


@pytest.mark.slow
def test_samples_that_do_not_count_change_nothing(params):
    batch = batch_of()
    value, gradient = loss_and_gradients(params, {**batch, "weight": np.array([1, 1, 0, 0], np.float32)})
    half, wanted = loss_and_gradients(params, batch_of(rows=2))
    assert half == pytest.approx(value, rel=1e-5)
    assert_same(gradient, wanted)


def test_a_batch_of_one_has_the_score_it_has_among_others(params):
    whole = score(params, batch_of())
    np.testing.assert_allclose(score(params, batch_of(rows=1)), whole[:1], atol=1e-5)
    assert np.ptp(whole) > 0.5


def test_bfloat16_is_near_float32(params):
    narrow = score(params, batch_of(), dtype=jnp.bfloat16)
    assert narrow.dtype == np.float32
    np.testing.assert_allclose(narrow, score(params, batch_of()), atol=0.05)


@pytest.mark.parametrize("there", [("text", "audio"), ("text", "vision"), ("text",)], ids=str)
def test_an_absent_modality_leaves_its_gate_and_its_shift_out(params, there):
    absent = {"audio", "vision"} - set(there)
    inputs = replace(INPUTS, **dict.fromkeys(absent))
    flat = flatten_dict(params, sep="/")
    kept = {path: value for path, value in flat.items() if not re.match(f"gate/({'|'.join(absent)})_", path)}
    assert len(flat) - len(kept) == 4 * len(absent)
    found = score(unflatten_dict(kept, sep="/"), batch_of(there), inputs=inputs)
    # A modality whose shift is 0 adds nothing either.
    silent = {path: value * 0 if path not in kept and "_shift/" in path else value for path, value in flat.items()}
    np.testing.assert_allclose(found, score(unflatten_dict(silent, sep="/"), batch_of()), atol=1e-5)
    made = jax.eval_shape(
        lambda: network_of(inputs=inputs).init(jax.random.key(0), batch_of(there), train=False)["params"]
    )
    assert flatten_dict(made, sep="/").keys() == kept.keys()


@pytest.mark.slow
def test_with_beta_zero_it_is_bert_with_one_more_norm(params):
    batch, bert = batch_of(), Bert(BERT, use_pooler=True)
    own = {"params": params["text_encoder"]["bert"]}
    mask = batch["text"]["mask"]
    x = np.asarray(bert.apply(own, batch["text"]["ids"], deterministic=True, method="embed"), np.float64)
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    x = x * params["gate"]["norm"]["scale"] + params["gate"]["norm"]["bias"]
    hidden = bert.apply(own, x.astype(np.float32), mask, True, method="encode")
    pooled = bert.apply(own, hidden[:, 0], method="pool")
    want = np.asarray(pooled) @ params["score"]["kernel"][:, 0] + params["score"]["bias"]
    np.testing.assert_allclose(score(params, batch, replace(OPTIONS, beta=0.0)), want, atol=1e-5)
    assert not np.allclose(score(params, batch), want, atol=0.01)


def test_aligned_frames_go_to_their_tokens(params):
    inputs = replace(INPUTS, aligned=True, audio=SequenceInput(7, 4), vision=SequenceInput(7, 3))
    batch = batch_of(("text",))
    shapes, lengths = {"audio": (7, 4), "vision": (7, 3)}, {"audio": TOKENS, "vision": TOKENS}
    add_frames(batch, ("audio", "vision"), shapes, lengths, rows=4, extra=0, fill=0.0)
    want = score(params, batch, inputs=inputs)
    # Aligned frames are what they are in every reading of frames that are not.
    for aligned, alignment in ((True, "required"), (True, "contiguous"), (False, "adaptive"), (False, "contiguous")):
        found = score(params, batch, replace(OPTIONS, alignment=alignment), replace(inputs, aligned=aligned))
        np.testing.assert_allclose(found, want, atol=1e-5)
    moved = {**batch, "audio": {**batch["audio"], "features": np.roll(batch["audio"]["features"], 1, 1)}}
    assert np.abs(score(params, moved, inputs=inputs) - want).max() > 1e-3


@pytest.mark.slow
def test_a_learned_alignment_has_losses_and_rates_of_its_own(params):
    options = replace(OPTIONS, alignment="ctc", max_tokens=7, ctc=CTCOptions(hidden=4, weight=0.5))
    network, (stage,) = network_of(options), METHOD.stages(options, INPUTS)
    made = params_far_from_start(network, batch_of())
    mixed = {**made, **params}

    @quick_jit
    def outputs(params, batch):
        return network.apply({"params": params}, batch, train=False)

    want = outputs(mixed, batch_of())
    longer = batch_of(extra=3, fill=1e6)
    for text in (longer["text"], packed(longer["text"])):
        found = outputs(mixed, {**longer, "text": text})
        for name in ("prediction", "audio_ctc", "vision_ctc"):
            np.testing.assert_allclose(found[name], want[name], rtol=1e-5, atol=1e-5)
    step = Step(want, batch_of(), {}, Clock(jnp.int32(1), jnp.int32(0)), jax.random.key(1), {})
    terms, _ = stage.phases[0].objective(step, options, INPUTS)
    assert set(terms) == {"multimodal", "audio_ctc", "vision_ctc"}
    assert stage.phases[0].weights(options, INPUTS, {}, step.clock) == {"audio_ctc": 0.5, "vision_ctc": 0.5}
    groups = METHOD.groups(options)
    for path in flatten_dict(made, sep="/"):
        name = next(group for group in groups if re.search(group.pattern, path)).name
        assert (name in ("audio", "vision")) == ("_aligner/" in path), path

    slope = quick_jit(
        jax.grad(lambda params: network.apply({"params": params}, batch_of(), train=False)["prediction"].sum())
    )
    for name in ("audio_aligner", "vision_aligner"):  # the score teaches the alignment too
        assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(slope(mixed)[name])) > 1e-6
    aligned = replace(INPUTS, aligned=True, audio=SequenceInput(7, 4), vision=SequenceInput(7, 3))
    assert set(METHOD.stages(options, aligned)[0].phases[0].weights(options, aligned, {}, step.clock)) == set()


@pytest.mark.slow
def test_the_loss_is_squared_or_absolute(params):
    batch = batch_of()
    error = score(params, batch) - batch["label"]
    squared, _ = loss_and_gradients(params, batch)
    absolute, _ = loss_and_gradients(params, batch, replace(OPTIONS, loss="l1"))
    assert squared == pytest.approx(np.mean(error**2), rel=1e-4)
    assert absolute == pytest.approx(np.mean(np.abs(error)), rel=1e-4)


def test_dropout_is_drawn_in_training_and_not_in_evaluation(params):
    network = network_of(MagBertOptions())
    batch = batch_of()

    @quick_jit
    def trained(key):
        return network.apply({"params": params}, batch, train=True, rngs={"dropout": key})["prediction"]

    assert not np.allclose(trained(jax.random.key(0)), trained(jax.random.key(1)), atol=1e-3)
    np.testing.assert_allclose(score(params, batch, MagBertOptions()), score(params, batch), atol=1e-6)


@pytest.mark.slow
def test_a_traced_beta_and_dropout_are_options_like_others(params):
    @quick_jit
    def loss(beta, rate):
        options = config.with_values(MagBertOptions(), {"beta": beta, "gate_dropout": rate, "dropout": rate})
        outputs = network_of(options).apply(
            {"params": params}, batch_of(), train=True, rngs={"dropout": jax.random.key(0)}
        )
        return outputs["prediction"]

    assert not np.allclose(loss(0.1, 0.1), loss(1.0, 0.1), atol=1e-3)
    assert np.isfinite(loss(1.0, 0.9)).all()


def test_gate_and_score_have_as_many_parameters_as_the_published_network():
    bert = BertConfig(vocab_size=9, hidden_size=768, num_layers=1, num_heads=12, intermediate_size=9, max_positions=9)
    inputs = Inputs(
        text=TextInput(width=768, steps=7, bert=bert), audio=SequenceInput(5, 5), vision=SequenceInput(5, 20)
    )
    batch = {"text": tokens()}
    shapes = {"audio": (5, 5), "vision": (5, 20)}
    add_frames(batch, ("audio", "vision"), shapes, dict.fromkeys(shapes, (5, 5, 5, 5)), rows=4, extra=0, fill=0.0)
    made = jax.eval_shape(lambda: network_of(inputs=inputs).init(jax.random.key(0), batch, train=False)["params"])
    own = {
        path: leaf.size for path, leaf in flatten_dict(made, sep="/").items() if not path.startswith("text_encoder/")
    }
    assert sum(own.values()) == 1_223_425


@pytest.mark.slow
def test_the_score_starts_as_berts_layers_do():
    wide = replace(BERT, hidden_size=256)
    inputs = replace(INPUTS, text=TextInput(width=256, steps=7, bert=wide))
    made = quick_jit(lambda key: network_of(inputs=inputs).init(key, batch_of(), train=False))(jax.random.key(0))
    np.testing.assert_array_equal(made["params"]["score"]["bias"], 0)
    assert 0.015 < np.std(made["params"]["score"]["kernel"]) < 0.025


@pytest.mark.parametrize("protocol", ["paper", "reference"])
def test_decay_spares_biases_and_norms_everywhere(params, protocol):
    options = config.override(MagBertOptions(), METHOD.reference if protocol == "reference" else {})
    groups = METHOD.groups(options)
    for path in unstack(flatten_dict(params, sep="/")):
        group = next(group for group in groups if re.search(group.pattern, path))
        assert group.learning_rate == (1e-5 if protocol == "paper" else 2e-5)
        spared = path.endswith(("bias", "scale")) or protocol == "reference"
        assert group.weight_decay == (0.0 if spared else 0.01), path
        assert group.name.startswith("text") == path.startswith("text_encoder/")


def test_every_parameter_that_can_change_the_score_has_a_gradient(params):
    _, gradient = loss_and_gradients(params, batch_of())
    for path, value in gradient.items():
        if not path.endswith("key/bias"):
            assert np.abs(value).max() > 1e-7, path


@pytest.mark.slow
def test_eight_samples_can_be_learned_by_heart():
    optax = pytest.importorskip("optax")
    rng = np.random.default_rng(5)
    mask = np.ones((8, 4), np.int32)
    batch = {
        "text": {"ids": rng.integers(1, 4, (8, 4)).astype(np.int32), "mask": mask},
        "audio": {"features": rng.normal(size=(8, 9, 4)).astype(np.float32), "length": np.full(8, 9, np.int32)},
        "vision": {"features": rng.normal(size=(8, 6, 3)).astype(np.float32), "length": np.full(8, 6, np.int32)},
    }
    label = np.linspace(-3, 3, 8).astype(np.float32)
    network, optimiser = network_of(), optax.adam(3e-3)

    @quick_jit
    def learn(params):
        def step(carry, _):
            params, state = carry

            def loss(params):
                return ((network.apply({"params": params}, batch, train=False)["prediction"] - label) ** 2).mean()

            value, gradient = jax.value_and_grad(loss)(params)
            update, state = optimiser.update(gradient, state)
            return (optax.apply_updates(params, update), state), value

        return jax.lax.scan(step, (params, optimiser.init(params)), None, length=150)[1]

    start = quick_jit(lambda key: network.init(key, batch, train=False))(jax.random.key(0))["params"]
    errors = learn(start)
    assert errors[0] > 3
    assert errors[-1] < 0.05


def test_what_it_cannot_shift_is_refused():
    check_inputs(METHOD, OPTIONS, INPUTS)
    with pytest.raises(InputError, match="needs text"):
        check_inputs(METHOD, OPTIONS, replace(INPUTS, text=None))
    with pytest.raises(InputError, match="precomputed"):
        check_inputs(METHOD, OPTIONS, replace(INPUTS, text=TextInput(width=32, steps=7)))


def test_aligned_data_can_be_required():
    strict = replace(OPTIONS, alignment="required")
    check_inputs(METHOD, strict, replace(INPUTS, aligned=True))
    with pytest.raises(InputError, match="aligned"):
        check_inputs(METHOD, strict, INPUTS)


@pytest.mark.parametrize(
    "change",
    [{"beta": -0.1}, {"gate_dropout": 1.0}, {"dropout": -0.5}, {"alignment": "median"}, {"loss": "l3"}],
    ids=str,
)
def test_impossible_options_are_refused(change):
    with pytest.raises(InputError, match=next(iter(change))):
        config.override(MagBertOptions(), change)


def test_states_of_the_text_are_never_kept():
    assert METHOD.adapts_text(MagBertOptions())


@pytest.mark.parametrize("name", [name for name in config.preset_names() if name.startswith("mag_bert_")])
def test_presets_hold_what_differs_from_their_protocol(name):
    preset = config.load_preset(name)
    assert preset.method == "mag_bert"
    base = config.override(MagBertOptions(), METHOD.reference if preset.protocol == "reference" else {})
    flat = config.flatten(config.override(base, preset.options))
    changed = {key for key, value in config.flatten(base).items() if flat[key] != value}
    assert changed == set(preset.options) - {"text_encoder"}
