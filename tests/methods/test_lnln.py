"""LNLN: values and gradients against a derivation in PyTorch, what training sees, absent modalities, options."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from msa_jax import config
from msa_jax.data.masking import Missing, Tokens, without
from msa_jax.encoders.bert_config import BertConfig
from msa_jax.errors import InputError
from msa_jax.methods import lnln
from msa_jax.methods.protocol import Clock, Inputs, TextInput
from tests.methods.cases import phase_of, step_of, with_copies
from tests.methods.network_kit import (
    ALL,
    NetworkKit,
    check_batch_of_one,
    check_bfloat16,
    check_padding,
    check_weightless_samples,
)
from tests.quick import quick_jit

SHAPES = {"text": (6, 8), "audio": (9, 5), "vision": (5, 3)}
LENGTHS = {"text": [6, 2, 3, 1, 5], "audio": [9, 1, 4, 2, 3], "vision": [1, 5, 2, 3, 0]}
SMALL = {"width": 6, "tokens": 2, "heads": 2, "head_width": 4, "feedforward": 7, "max_tokens": 6}
KIT = NetworkKit(lnln.METHOD, SMALL, SHAPES, LENGTHS)
WHOLE = NetworkKit(lnln.METHOD, SMALL, SHAPES, {**LENGTHS, "vision": [1, 5, 2, 3, 4]})  # no sample lacks a modality
NOW = Clock(epoch=np.int32(1), step=np.int32(0))


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, lnln.REFERENCE], ids=["paper", "reference"])
def test_values_and_gradients_are_those_of_pytorch(changes, monkeypatch):
    torch = pytest.importorskip("torch")
    from tests.reference import lnln_torch

    torch.set_num_threads(1)
    rng = np.random.default_rng(2)
    batch, rate = WHOLE.batch(), rng.uniform(size=5).astype(np.float32)
    masked = {name: x["features"] * (rng.uniform(size=x["features"].shape[:2]) < 0.6)[..., None] for name, x in (
        (name, batch[name]) for name in ALL)}  # fmt: skip
    copies = with_copies(batch, masked)
    monkeypatch.setattr(lnln.LNLNNetwork, "_with_masked", lambda self, batch: (copies, {"text": rate}))
    network, params = WHOLE.network(**changes), WHOLE.variables(**changes)["params"]
    phase = phase_of(lnln.METHOD, network.options, network.inputs)
    factor = phase.weights(network.options, network.inputs, {}, NOW)

    def loss_of(params):
        outputs = network.apply({"params": params}, batch, train=True)
        terms, _ = phase.objective(step_of(outputs, batch), network.options, network.inputs)
        return sum(factor.get(name, 1.0) * term.mean() for name, term in terms.items()), outputs

    (loss, outputs), gradient = quick_jit(jax.value_and_grad(loss_of, has_aux=True))(params)
    tensors = {path: torch.tensor(np.asarray(leaf), dtype=torch.float64, requires_grad=True)
               for path, leaf in flatten_dict(params, sep="/").items()}  # fmt: skip
    given = [
        {name: torch.tensor(np.asarray(x), dtype=torch.float64) for name, x in of.items()}
        for of in ({name: batch[name]["features"] for name in ALL}, masked)
    ]
    lengths = {name: torch.tensor(WHOLE.lengths[name]) for name in ALL}
    score, completeness, expected = lnln_torch.lnln(
        *given, lengths, torch.tensor(rate).double(), torch.tensor(batch["label"]).double(), tensors,
        heads=2, reference=bool(changes),
    )  # fmt: skip
    expected.backward()
    np.testing.assert_allclose(outputs["prediction"], score.detach(), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(outputs["completeness"], completeness.detach(), rtol=1e-4)
    np.testing.assert_allclose(loss, expected.detach(), rtol=1e-4)
    for path, value in flatten_dict(gradient, sep="/").items():
        found, scale = tensors[path].grad.numpy(), float(tensors[path].grad.abs().max())
        assert scale > 0, path
        np.testing.assert_allclose(value, found, rtol=1e-3, atol=2e-4 * scale, err_msg=path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "check", [check_padding, check_weightless_samples, check_batch_of_one, check_bfloat16], ids=lambda x: x.__name__
)
def test_the_network_keeps_to_what_all_such_networks_do(check):
    check(KIT)


@pytest.mark.slow
def test_training_scores_masked_samples_and_evaluation_whole_ones():
    batch, scores = KIT.batch(), []
    for intact in (0.0, 0.999):
        network = KIT.network(intact=intact)
        apply = quick_jit(lambda variables, network=network: network.apply(
            variables, batch, train=True, rngs={"dropout": jax.random.key(3)}
        ))  # fmt: skip
        scores.append(apply(KIT.variables()))
    masked, whole = scores
    assert (np.asarray(whole["kept"]) == 1).all()
    np.testing.assert_allclose(whole["prediction"], KIT.evaluated()["prediction"], rtol=1e-5, atol=1e-5)
    assert (np.asarray(masked["kept"]) < 1).all()
    assert np.abs(masked["prediction"] - whole["prediction"]).max() > 1e-3
    np.testing.assert_allclose(masked["complete"], whole["complete"], rtol=1e-5, atol=1e-5)


def test_rates_are_0_in_half_of_the_cases_and_otherwise_anything():
    batch = {
        "audio": {"features": jnp.zeros((4000, 1, 1)), "length": jnp.ones(4000, jnp.int32)},
        "row": jnp.arange(4000),
    }
    bound = KIT.network(("audio",)).bind({}, rngs={"dropout": jax.random.key(0)})
    rate = np.asarray(bound._with_masked(batch)[1]["audio"])
    assert abs((rate == 0).mean() - 0.5) < 0.03
    np.testing.assert_allclose(np.quantile(rate[rate > 0], [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.03)


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("kind", ["ids", "features"])
def test_an_absent_text_is_not_complete(kind, aligned):
    absent = np.arange(200) % 2 == 0
    mask = np.ones((200, 5), np.int32)
    content = {"ids": np.full((200, 5), 7)} if kind == "ids" else {"features": np.ones((200, 5, 8), np.float32)}
    batch = {"text": {**content, "mask": mask}, "row": np.arange(200), "weight": np.ones(200, np.float32)}
    batch = without(batch, Missing({"text": absent}, {}, Tokens(1, 0)), aligned=aligned)
    bert = BertConfig() if kind == "ids" else None
    network = lnln.LNLNNetwork(lnln.LNLNOptions(), Inputs(text=TextInput(width=8, steps=5, bert=bert, unknown=1)))
    copies, rates = network.bind({}, rngs={"dropout": jax.random.key(0)})._with_masked(batch)
    kept = 1 - np.asarray(rates["text"])
    assert (kept[absent] == 0).all()
    assert abs((kept[~absent] == 1).mean() - 0.5) < 0.15
    np.testing.assert_array_equal(copies["text"][kind][200:][absent], batch["text"][kind][absent])  # nothing was left


def test_weight_decay_covers_biases_and_norms_of_bert_in_the_reference_protocol():
    def decay(path, **changes):
        groups = lnln.METHOD.groups(config.override(lnln.LNLNOptions(), changes))
        return next(group.weight_decay for group in groups if re.search(group.pattern, path))

    for path in ("query/bias", "output_norm/scale"):
        assert decay(f"text_encoder/bert/layer_0/{path}") == 0
        assert decay(f"text_encoder/bert/layer_0/{path}", **lnln.REFERENCE) == 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("there", "exports"),
    [
        (("text",), ("representation",)),
        (("audio", "vision"), ("representation",)),
        (("text", "vision"), ("completeness", "representation")),
    ],
    ids=str,
)
def test_absent_modalities_have_no_parts(there, exports):
    outputs, params = KIT.made(there)
    assert not any(absent in path for path in flatten_dict(params, sep="/") for absent in set(ALL) - set(there))
    assert ("proxy" in params) == ("hyper" in params) == (there != ("text",))
    assert ("completeness" in params) == ("discriminator" in params) == ("completeness" in exports)
    assert lnln.METHOD.export_names(lnln.LNLNOptions(), KIT.inputs(there)) == exports
    assert set(exports) <= set(outputs)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"intact": 1.0}, "intact is 1.0"),
        ({"tokens": 0}, "tokens is 0"),
        ({"width": 12}, "option width is 12; expected a multiple of heads, 8"),
        ({"weights.adversarial": -1.0}, "weights.adversarial is -1.0"),
        ({"padding": "included"}, "set pack_text to false"),
        ({"reversal": "none"}, "expected one of discriminator, proxy"),
    ],
)
def test_options_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        config.override(lnln.LNLNOptions(), changes)


@pytest.mark.parametrize("padding", ["masked", "included"])
def test_what_a_sample_lacks_is_not_to_be_rebuilt_unless_padding_is_data(padding):
    batch, rng = KIT.batch(), np.random.default_rng(3)
    there = np.array([LENGTHS[name] for name in ALL]).T > 0  # the last sample has no vision
    rebuilt, complete = rng.normal(size=(2, 5, 3 * 2, 6)).astype(np.float32)
    outputs = {
        "prediction": np.zeros(5, np.float32), "rebuilt": rebuilt, "complete": complete,
        "completeness": np.zeros(5, np.float32), "kept": np.zeros(5, np.float32),
        "told": rng.normal(size=(5, 4, 2)).astype(np.float32),
    }  # fmt: skip
    options = config.override(lnln.METHOD.options(), {**SMALL, "padding": padding, "pack_text": False})
    terms, _ = lnln.objective(step_of(outputs, batch), options, KIT.inputs())
    each = np.square(rebuilt - complete).reshape(5, 3, -1).mean(-1)
    counts = there if padding == "masked" else np.ones_like(there)
    np.testing.assert_allclose(terms["reconstruction"], (each * counts).sum(1) / counts.sum(1), rtol=1e-5)
    assert not there[-1].all()
