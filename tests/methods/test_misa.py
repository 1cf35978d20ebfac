"""MISA: its sizes, its four losses against PyTorch, padding, absent modalities, what is frozen."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from msa_jax import config, losses
from msa_jax.errors import InputError
from msa_jax.methods import misa
from msa_jax.methods.misa import METHOD, MISANetwork, MISAOptions
from msa_jax.methods.protocol import Clock, Inputs, SequenceInput, Step, TextInput
from tests.quick import quick_jit

SMALL = {"hidden": 8, "fusion_feedforward": 16, "dropout": 0.0, "fusion_dropout": 0.0}
SHAPES = {"text": (7, 6), "audio": (9, 3), "vision": (5, 4)}
LENGTHS = {"text": (7, 4, 2, 6, 3), "audio": (9, 1, 5, 3, 8), "vision": (2, 5, 4, 1, 3)}
ROWS = 5
SUBSETS = [
    (("text",), "cmd"),
    (("audio",), "adversarial"),
    (("audio", "vision"), "cmd"),
    (("text", "vision"), "adversarial"),
    (("text", "audio", "vision"), "cmd"),
]


def options_of(**changes):
    return config.override(MISAOptions(), {**SMALL, **changes})


def inputs_of(modalities=("text", "audio", "vision"), shapes=SHAPES):
    found = {name: SequenceInput(*shapes[name]) for name in ("audio", "vision") if name in modalities}
    if "text" in modalities:
        found["text"] = TextInput(width=shapes["text"][1], steps=shapes["text"][0])
    return Inputs(**found)


def make_batch(modalities=("text", "audio", "vision"), *, rows=ROWS, longer=0, fill=0.0):
    """`longer` more steps of padding in each sequence, with `fill` at padding."""
    rng = np.random.default_rng(0)
    batch = {"label": rng.uniform(-3, 3, ROWS).astype(np.float32)[:rows], "weight": np.ones(rows, np.float32)}
    for name, (steps, width) in SHAPES.items():
        x = np.full((ROWS, steps + longer, width), fill, np.float32)
        x[:, :steps] = rng.normal(size=(ROWS, steps, width))
        length = np.array(LENGTHS[name], np.int32)
        inside = np.arange(steps + longer) < length[:, None]
        x[~inside] = fill
        if name in modalities:
            given = {"mask": inside.astype(np.int32)[:rows]} if name == "text" else {"length": length[:rows]}
            batch[name] = {"features": x[:rows], **given}
    return batch


def make_params(network, batch, spread=0.5):
    """Parameters far from where they start."""
    made = jax.eval_shape(lambda: network.init(jax.random.key(0), batch, train=False))["params"]
    leaves, tree = jax.tree.flatten(made)
    rng = np.random.default_rng(1)
    return jax.tree.unflatten(tree, [spread * rng.normal(size=leaf.shape).astype(np.float32) for leaf in leaves])


def terms_of(outputs, batch, options, inputs):
    step = Step(outputs, batch, {}, Clock(jnp.int32(1), jnp.int32(0)), jax.random.key(0), {})
    return misa.objective(step, options, inputs)[0]


def total(terms, batch, options, inputs):
    """The loss as the engine makes it of the terms."""
    counts = batch["weight"] > 0
    means = {name: jnp.where(counts, x, 0).sum() / counts.sum() if x.ndim else x for name, x in terms.items()}
    weights = METHOD.stages(options, inputs)[0].phases[0].weights(options, inputs, {}, None)
    assert set(weights) <= set(terms)
    return sum(weights.get(name, 1.0) * mean for name, mean in means.items())


def forward(batch, modalities=("text", "audio", "vision"), params=None, dtype=jnp.float32, **changes):
    """Outputs without dropout."""
    network = MISANetwork(options_of(**changes), inputs_of(modalities), dtype)
    params = make_params(network, batch) if params is None else params
    outputs = quick_jit(lambda params, batch: network.apply({"params": params}, batch, train=False))(params, batch)
    return {name: np.asarray(x) for name, x in outputs.items()}


def evaluate(batch, modalities=("text", "audio", "vision"), params=None, **changes):
    """Outputs, terms, loss and gradients by path, without dropout."""
    options, inputs = options_of(**changes), inputs_of(modalities)
    network = MISANetwork(options, inputs)
    params = make_params(network, batch) if params is None else params

    def loss(params, batch):
        outputs = network.apply({"params": params}, batch, train=False)
        terms = terms_of(outputs, batch, options, inputs)
        return total(terms, batch, options, inputs), (outputs, terms)

    (value, (outputs, terms)), gradients = quick_jit(jax.value_and_grad(loss, has_aux=True))(params, batch)
    return jax.tree.map(np.asarray, (outputs, terms, value, flatten_dict(gradients, sep="/")))


def same_gradients(found, expected):
    largest = max(np.abs(gradient).max() for gradient in expected.values())
    assert found.keys() == expected.keys()
    for path, gradient in found.items():
        np.testing.assert_allclose(gradient, expected[path], atol=1e-5 * largest, err_msg=path)


def some_outputs(seed=0, rows=ROWS, modalities=("text", "vision", "audio"), width=8):
    rng = np.random.default_rng(seed)
    outputs = {"prediction": rng.normal(size=rows)}
    for name in modalities:
        for kind in ("private", "shared", "rebuilt", "original"):
            x = rng.normal(size=(rows, width))
            outputs[f"{kind}_{name}"] = 1 / (1 + np.exp(-x)) if kind in ("private", "shared") else x
    return {name: x.astype(np.float32) for name, x in outputs.items()}


# -- sizes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("audio", "vision", "published"), [(5, 20, 1_134_961), (74, 35, 1_432_033), (33, 709, 21_661_677)]
)
def test_it_has_the_parameters_of_the_published_network_but_those_that_enter_no_loss(audio, vision, published):
    shapes = {"text": (50, 768), "audio": (50, audio), "vision": (50, vision)}
    batch = {
        "text": {"features": jnp.zeros((2, 50, 768)), "mask": jnp.ones((2, 50), jnp.int32)},
        "audio": {"features": jnp.zeros((2, 50, audio)), "length": jnp.full(2, 50)},
        "vision": {"features": jnp.zeros((2, 50, vision)), "length": jnp.full(2, 50)},
    }
    network = MISANetwork(MISAOptions(), inputs_of(shapes=shapes))
    params = jax.eval_shape(lambda: network.init(jax.random.key(0), batch, train=False))["params"]
    unused = 129 * 4  # Linear(128 -> 4), a classifier of private and shared parts without a loss
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == published - unused


@pytest.mark.parametrize("start", ["orthogonal", "uniform"])
def test_the_recurrent_matrices_start_orthogonal_or_uniform(start):
    assert MISAOptions().recurrent_start == "orthogonal"
    encoder = misa.SequenceVector(start, jnp.float32)
    init = quick_jit(lambda: encoder.init(jax.random.key(0), jnp.zeros((1, 2, 6)), jnp.full(1, 2)))
    recurrent = [x for path, x in flatten_dict(init()["params"], sep="/").items() if path.endswith("/recurrent")]
    assert len(recurrent) == 4
    for kernel in recurrent:  # [h, 4h]
        assert np.allclose(kernel @ kernel.T, np.eye(6), atol=1e-5) == (start == "orthogonal")
        assert (np.abs(kernel).max() <= 6**-0.5) == (start == "uniform")


# -- losses -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reduce", ["mean", "sum"])
def test_losses_and_their_gradients_equal_those_of_pytorch(reduce):
    torch = pytest.importorskip("torch")
    from tests.reference.misa_torch import misa_losses

    outputs, label = some_outputs(), make_batch()["label"]
    weights = {"multimodal": 1.0, "similarity": 0.7, "difference": 0.2, "reconstruction": 0.9}
    options = options_of(
        **{f"weights.{name}": weights[name] for name in weights if name != "multimodal"}, difference=reduce
    )
    batch = make_batch()

    given = {name: torch.tensor(x, dtype=torch.float64, requires_grad=True) for name, x in outputs.items()}
    theirs = misa_losses(given, torch.tensor(label, dtype=torch.float64), reduce)
    sum(weights[name] * value for name, value in theirs.items()).backward()

    terms = terms_of(outputs, batch, options, inputs_of())
    assert set(terms) == set(theirs)
    for name, value in theirs.items():
        np.testing.assert_allclose(np.mean(terms[name]), value.detach().numpy(), rtol=1e-5)
    loss = lambda outputs: total(terms_of(outputs, batch, options, inputs_of()), batch, options, inputs_of())  # noqa: E731
    for name, gradient in jax.grad(loss)(outputs).items():
        np.testing.assert_allclose(gradient, given[name].grad.numpy(), rtol=2e-4, atol=1e-6, err_msg=name)


def test_the_task_can_be_the_absolute_error():
    outputs, batch = some_outputs(), make_batch()
    terms = terms_of(outputs, batch, options_of(loss="l1"), inputs_of())
    np.testing.assert_allclose(terms["multimodal"], np.abs(outputs["prediction"] - batch["label"]), rtol=1e-6)


@pytest.mark.slow
def test_samples_without_weight_change_neither_losses_nor_gradients():
    kept = np.array([0, 2, 4])
    batch = make_batch()
    params = make_params(MISANetwork(options_of(), inputs_of()), batch)
    _, expected_terms, expected, expected_gradients = evaluate(jax.tree.map(lambda x: x[kept], batch), params=params)
    batch["weight"][[1, 3]] = 0
    batch["label"][[1, 3]] = 1000.0
    for name in SHAPES:
        batch[name]["features"][[1, 3]] = 100.0
    _, terms, value, gradients = evaluate(batch, params=params)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    for name, term in terms.items():
        np.testing.assert_allclose(term[kept] if term.ndim else term, expected_terms[name], rtol=1e-4, err_msg=name)
    assert np.all(terms["multimodal"][[1, 3]] == 0)
    assert np.all(terms["reconstruction"][[1, 3]] == 0)
    same_gradients(gradients, expected_gradients)


@pytest.mark.slow
def test_a_batch_of_one_has_finite_losses_and_gradients():
    _, terms, value, gradients = evaluate(make_batch(rows=1))
    assert terms["difference"] == 0
    assert terms["similarity"] > 0
    assert np.isfinite(value)
    assert all(np.isfinite(gradient).all() for gradient in gradients.values())


@pytest.mark.slow
def test_samples_that_are_all_equal_have_finite_gradients():
    outputs = {name: np.repeat(x[:1], 4, 0) for name, x in some_outputs().items()}
    for name in ("text", "vision", "audio"):
        outputs[f"shared_{name}"] = outputs["shared_text"]
    batch = {**make_batch(rows=4), "label": np.zeros(4, np.float32)}

    def loss(outputs):
        terms = terms_of(outputs, batch, options_of(), inputs_of())
        return total(terms, batch, options_of(), inputs_of()), terms

    gradients, terms = jax.grad(loss, has_aux=True)(outputs)
    assert terms["similarity"] == terms["difference"] == 0
    assert all(np.isfinite(gradient).all() for gradient in gradients.values())


def test_the_classifier_of_modalities_gives_a_cross_entropy_of_each_sample():
    outputs, batch = some_outputs(), make_batch()
    logits = np.random.default_rng(3).normal(size=(3, ROWS, 3))
    for name, x in zip(("text", "vision", "audio"), logits, strict=True):
        outputs[f"modality_{name}"] = x.astype(np.float32)
    batch["weight"][1] = 0
    terms = terms_of(outputs, batch, options_of(similarity="adversarial"), inputs_of())
    chosen = np.stack([logits[label, :, label] for label in range(3)])
    expected = (np.log(np.exp(logits).sum(-1)) - chosen).mean(0)
    expected[1] = 0
    np.testing.assert_allclose(terms["similarity"], expected, rtol=1e-5)


def test_the_classifier_of_modalities_learns_what_the_shared_parts_hide(monkeypatch):
    shared = np.random.default_rng(3).uniform(size=(ROWS, 8)).astype(np.float32)
    classifier = misa.ModalityClassifier(3, 0.0, jnp.float32)
    params = classifier.init(jax.random.key(0), shared, train=False)

    def loss(params, shared):
        return -jax.nn.log_softmax(classifier.apply(params, shared, train=False))[:, 1].mean()

    turned_params, turned_shared = jax.grad(loss, (0, 1))(params, shared)
    monkeypatch.setattr(misa, "reverse_gradient", lambda x: x)
    plain_params, plain_shared = jax.grad(loss, (0, 1))(params, shared)
    jax.tree.map(np.testing.assert_array_equal, turned_params, plain_params)
    np.testing.assert_array_equal(turned_shared, -plain_shared)
    assert np.abs(plain_shared).max() > 0


# -- sequences --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_padding_changes_nothing():
    batch = make_batch()
    params = make_params(MISANetwork(options_of(), inputs_of()), batch)
    outputs, _, value, gradients = evaluate(batch, params=params)
    padded, _, padded_value, padded_gradients = evaluate(make_batch(longer=3, fill=50.0), params=params)
    np.testing.assert_allclose(padded_value, value, rtol=1e-5)
    for name, x in outputs.items():
        np.testing.assert_allclose(padded[name], x, rtol=1e-4, atol=1e-5, err_msg=name)
    same_gradients(padded_gradients, gradients)


@pytest.mark.slow
def test_lengths_of_the_text_read_the_first_frames_and_zeros_where_there_are_none():
    batch = make_batch(fill=50.0)
    params = make_params(MISANetwork(options_of(), inputs_of()), batch)
    outputs = forward(batch, params=params, lengths="text")
    tokens, steps = np.array(LENGTHS["text"], np.int32), SHAPES["text"][0]
    for name in ("audio", "vision"):
        x, length = batch[name]["features"], batch[name]["length"]
        x = np.where((np.arange(x.shape[1]) < length[:, None])[..., None], x, 0)
        x = np.pad(x, ((0, 0), (0, 9), (0, 0)))[:, :steps]
        batch[name] = {"features": x, "length": tokens}
    aligned = {lengths: forward(batch, params=params, lengths=lengths) for lengths in ("own", "text")}
    for name, x in outputs.items():
        np.testing.assert_allclose(x, aligned["own"][name], rtol=1e-5, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(aligned["text"][name], aligned["own"][name], rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.slow
def test_without_text_the_lengths_are_their_own():
    batch = make_batch(("audio", "vision"))
    own, text = (forward(batch, ("audio", "vision"), lengths=lengths) for lengths in ("own", "text"))
    np.testing.assert_array_equal(own["prediction"], text["prediction"])


# -- fusion -----------------------------------------------------------------------------------------------------------


def test_dropout_of_the_fusion_drops_none_of_its_input():
    batch = make_batch(("text",))
    network = MISANetwork(options_of(fusion_dropout=0.5), inputs_of(("text",)))
    params = make_params(network, batch)
    for name in ("output", "contract"):  # nothing is left of the branches, in which dropout does act
        params["fusion"]["layers"][name] = jax.tree.map(np.zeros_like, params["fusion"]["layers"][name])

    def scores(train):
        apply = lambda: network.apply({"params": params}, batch, train=train, rngs={"dropout": jax.random.key(0)})  # noqa: E731
        return quick_jit(apply)()["prediction"]

    np.testing.assert_allclose(scores(True), scores(False), rtol=1e-6)


# -- what there is ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("modalities", "similarity"), SUBSETS)
@pytest.mark.slow
def test_absent_modalities_are_left_out(modalities, similarity):
    options, inputs = options_of(similarity=similarity), inputs_of(modalities)
    outputs, terms, value, gradients = evaluate(make_batch(modalities), modalities, similarity=similarity)
    assert ("similarity" in terms) == (len(modalities) > 1)
    assert {name.rsplit("_", 1)[1] for name in outputs if "_" in name} == set(modalities)
    assert outputs["representation"].shape == (ROWS, 24)
    assert gradients["head/kernel"].shape == (2 * len(modalities) * 8, 24)
    assert np.isfinite(value)
    assert all(np.abs(gradient).max() > 0 for gradient in gradients.values() if gradient.shape != (8,))
    (phase,) = METHOD.stages(options, inputs)[0].phases
    assert {name for name, term in terms.items() if term.ndim == 0} == set(phase.batch_terms)
    for name in METHOD.export_names(options, inputs):
        assert outputs[name].ndim == 2
    assert set(METHOD.head_names(options, inputs)) <= set(outputs)


@pytest.mark.slow
def test_one_modality_has_the_difference_of_its_own_parts_alone():
    modalities = ("audio",)
    outputs, terms, *_ = evaluate(make_batch(modalities), modalities)
    units = []
    for kind in ("private", "shared"):
        x = outputs[f"{kind}_audio"].astype(np.float64)
        x = x - x.mean(0)
        units.append(x / (np.linalg.norm(x, axis=1, keepdims=True) + 1e-6))
    np.testing.assert_allclose(terms["difference"], ((units[0].T @ units[1]) ** 2).mean(), rtol=1e-4)


@pytest.mark.slow
def test_outputs_are_float32_in_bfloat16_and_near_those_of_float32():
    batch = make_batch()
    params = make_params(MISANetwork(options_of(), inputs_of()), batch, spread=0.2)
    outputs, rough = forward(batch, params=params), forward(batch, params=params, dtype=jnp.bfloat16)
    for name, x in outputs.items():
        assert rough[name].dtype == np.float32
        np.testing.assert_allclose(rough[name], x, atol=0.05 * max(np.abs(x).max(), 1), err_msg=name)
    found, expected = (terms_of(x, batch, options_of(), inputs_of()) for x in (rough, outputs))
    for name, term in expected.items():
        assert found[name].dtype == jnp.float32
        np.testing.assert_allclose(np.mean(found[name]), np.mean(term), rtol=0.1, err_msg=name)


def test_dropout_acts_in_training_alone_and_behind_the_parts():
    batch = make_batch(("text",))
    network = MISANetwork(options_of(dropout=0.5, fusion_dropout=0.1), inputs_of(("text",)))
    params = make_params(network, batch)

    @quick_jit
    def outputs(key):
        return network.apply({"params": params}, batch, train=True, rngs={"dropout": key})

    one, two, again = (outputs(jax.random.key(seed)) for seed in (0, 1, 0))
    assert not np.allclose(one["prediction"], two["prediction"])
    np.testing.assert_array_equal(one["prediction"], again["prediction"])
    np.testing.assert_array_equal(one["private_text"], two["private_text"])


def test_on_mosei_the_first_nine_layers_of_bert_are_frozen():
    pattern = config.load_preset("misa_mosei").options["freeze"]
    for layer in range(12):
        path = f"text_encoder/bert/layer_{layer}/attention/query/kernel"
        assert bool(re.search(pattern, path)) == (layer <= 8)
    assert not re.search(pattern, "text_encoder/bert/embeddings/word/embedding")
    assert not re.search(pattern, "fusion/layer_0/query/kernel")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden": 9}, "option hidden is 9; expected a multiple of fusion_heads, 2"),
        ({"dropout": 1.0}, "option dropout is 1.0"),
        ({"moments": 0}, "option moments is 0"),
        ({"weights.difference": -0.1}, "option weights.difference is -0.1"),
        ({"similarity": "mmd"}, "option similarity is 'mmd'; expected one of cmd, adversarial"),
    ],
)
def test_options_without_sense_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        options_of(**changes)


def test_the_reference_protocol_is_one_of_its_options():
    options = config.override(MISAOptions(), METHOD.reference)
    assert (options.lengths, options.patience, options.validation_mean) == ("text", 7, "batches")


def test_a_sample_without_vision_counts_in_no_loss_of_it():
    batch, rng = make_batch(), np.random.default_rng(4)
    there = np.arange(ROWS) > 1
    batch["vision"] = {**batch["vision"], "length": np.where(there, batch["vision"]["length"], 0).astype(np.int32)}
    kinds = ("private", "shared", "rebuilt", "original")
    outputs = {f"{kind}_{name}": rng.normal(size=(ROWS, 8)).astype(np.float32) for kind in kinds for name in SHAPES} | {
        "prediction": np.zeros(ROWS, np.float32)
    }
    unknown = {f"{kind}_vision": np.where(there[:, None], outputs[f"{kind}_vision"], np.nan) for kind in kinds}
    found = terms_of({**outputs, **unknown}, batch, options_of(), inputs_of())
    assert all(np.isfinite(value).all() for value in found.values())
    each = np.stack([np.square(outputs[f"rebuilt_{m}"] - outputs[f"original_{m}"]).mean(-1) for m in SHAPES], 1)
    np.testing.assert_allclose(found["reconstruction"], [*each[:2, :2].mean(1), *each[2:].mean(1)], rtol=1e-5)
    # A network that has no such samples gives the same for vision and the others, by itself.
    few = {name: value[2:] for name, value in outputs.items()}
    pairs = [
        ("private_vision", "shared_vision"),
        ("private_text", "private_vision"),
        ("private_audio", "private_vision"),
    ]
    of_vision = sum(losses.orthogonality(few[one], few[other], where=jnp.ones(3, bool)) for one, other in pairs)
    rest = [("private_text", "shared_text"), ("private_audio", "shared_audio"), ("private_text", "private_audio")]
    others = sum(losses.orthogonality(outputs[one], outputs[other], where=jnp.ones(ROWS, bool)) for one, other in rest)
    np.testing.assert_allclose(found["difference"], of_vision + others, rtol=1e-5)
