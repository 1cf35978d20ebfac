"""MCTN: values and gradients against a derivation in PyTorch, what scores hang on, absent modalities, options."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from msa_jax import config
from msa_jax.encoders.bert_config import BertConfig
from msa_jax.errors import InputError
from msa_jax.methods import mctn
from msa_jax.methods.protocol import Clock, Inputs, TextInput, check_inputs
from msa_jax.methods.shared.aligned_sequences import rewriting_error
from tests.methods.cases import phase_of, step_of
from tests.methods.network_kit import ALL, NetworkKit, check_batch_of_one, check_weightless_samples, close
from tests.quick import quick_jit

LENGTHS = [6, 2, 3, 1, 5]
SHAPES = {"text": (6, 8), "audio": (6, 5), "vision": (6, 3)}
KIT = NetworkKit(mctn.METHOD, {"hidden": 4}, SHAPES, dict.fromkeys(SHAPES, LENGTHS), aligned=True)
FULL = NetworkKit(mctn.METHOD, {"hidden": 4}, SHAPES, dict.fromkeys(SHAPES, [6] * 5), aligned=True)
REFERENCE = {**mctn.METHOD.reference, "max_tokens": 6}
NOW = Clock(epoch=np.int32(1), step=np.int32(0))


@pytest.mark.slow
@pytest.mark.parametrize("check", [check_weightless_samples, check_batch_of_one], ids=lambda each: each.__name__)
def test_it_keeps_to_what_every_network_does(check):
    check(KIT)


@pytest.mark.slow
def test_in_bfloat16_outputs_are_float32_and_scores_near():
    outputs = KIT.evaluated(dtype=jnp.bfloat16)
    assert {leaf.dtype for name, leaf in flatten_dict(outputs).items() if name != ("length",)} == {jnp.dtype("float32")}
    np.testing.assert_allclose(outputs["prediction"], KIT.evaluated()["prediction"], atol=0.02)


def loss_of(kit, **changes):
    """(parameters, batch) -> the loss of the batch, and outputs."""
    network = kit.network(**changes)
    phase = phase_of(mctn.METHOD, network.options, network.inputs)
    factor = phase.weights(network.options, network.inputs, {}, NOW)

    def loss(params, batch):
        outputs = network.apply({"params": params}, batch, train=True)
        terms, _ = phase.objective(step_of(outputs, batch), network.options, network.inputs)
        return sum(factor.get(name, 1.0) * term.mean() for name, term in terms.items()), outputs

    return loss


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, REFERENCE], ids=["paper", "reference"])
def test_values_and_gradients_are_those_of_pytorch(changes):
    torch = pytest.importorskip("torch")
    from tests.reference import mctn_torch

    batch, params = FULL.batch(), FULL.variables(**changes)["params"]
    (loss, outputs), gradient = quick_jit(jax.value_and_grad(loss_of(FULL, **changes), has_aux=True))(params, batch)
    tensors = {path: torch.tensor(np.asarray(leaf), dtype=torch.float64, requires_grad=True)
               for path, leaf in flatten_dict(params, sep="/").items()}  # fmt: skip
    sequences = {name: torch.tensor(batch[name]["features"], dtype=torch.float64) for name in ALL}
    label = torch.tensor(batch["label"], dtype=torch.float64)
    score, expected = mctn_torch.mctn(sequences, label, tensors, reference=bool(changes))
    expected.backward()
    np.testing.assert_allclose(outputs["prediction"], score.detach(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(loss, expected.detach(), rtol=1e-5)
    for path, value in flatten_dict(gradient, sep="/").items():
        np.testing.assert_allclose(value, tensors[path].grad, rtol=1e-3, atol=1e-6, err_msg=path)
        assert np.abs(value).max() > 0, path


@functools.cache
def training_step():
    return quick_jit(jax.value_and_grad(loss_of(KIT), has_aux=True))


@pytest.mark.slow
def test_more_padding_changes_neither_scores_nor_gradients_nor_what_is_written():
    params = KIT.variables()["params"]
    (loss, outputs), gradient = training_step()(params, KIT.batch())
    (padded_loss, padded), padded_gradient = training_step()(params, KIT.batch(extra=3, fill=9.0))
    np.testing.assert_allclose(padded_loss, loss, rtol=1e-5)
    np.testing.assert_allclose(padded["prediction"], outputs["prediction"], rtol=1e-5, atol=1e-5)
    for name, frames in outputs["generated"].items():
        np.testing.assert_allclose(padded["generated"][name][:, :6], frames, rtol=1e-4, atol=1e-5)
    close(padded_gradient, gradient, rtol=1e-3, atol=1e-5)


# -- what scores hang on ----------------------------------------------------------------------------------------------


def test_scores_are_read_off_the_text_alone():
    batch, noise = KIT.batch(), np.random.default_rng(8)
    for name in ("audio", "vision"):
        batch[name]["features"] = noise.normal(size=batch[name]["features"].shape).astype(np.float32)
    expected, found = KIT.evaluated(), KIT.evaluated(batch=batch)
    np.testing.assert_array_equal(found["prediction"], expected["prediction"])
    np.testing.assert_array_equal(found["representation"], expected["representation"])
    assert np.abs(found["sequences"]["translation"] - expected["sequences"]["translation"]).max() > 0.1


@pytest.mark.slow
def test_audio_and_vision_teach_the_encoder_of_the_text():
    batch = KIT.batch()
    batch["vision"]["features"] = batch["vision"]["features"] + 1
    params = KIT.variables()["params"]
    one, two = (training_step()(params, of)[1]["encoder"]["lstm"]["forward"]["input"] for of in (KIT.batch(), batch))
    assert np.abs(one - two).max() > 1e-4


@pytest.mark.slow
def test_what_should_be_written_has_no_gradient():
    frames = np.random.default_rng(2).normal(size=(2, 3, 4)).astype(np.float32)
    batch = {"label": np.zeros(2, np.float32), "weight": np.ones(2, np.float32)}
    batch["text"] = {"features": frames, "mask": np.ones((2, 3), np.int32)}

    def total(target, written):
        outputs = {"prediction": jnp.zeros(2), "length": jnp.array([3, 1]), "sequences": {"cycle": target}}
        outputs["generated"] = {"cycle": written}
        return mctn.objective(step_of(outputs, batch), mctn.MCTNOptions(), KIT.inputs())[0]["cycle"].sum()

    of_target, of_written = jax.grad(total, argnums=(0, 1))(frames, 2 * frames)
    np.testing.assert_array_equal(of_target, 0)
    expected = 2 * frames / 4 / np.array([3, 1])[:, None, None]
    expected[1, 1:] = 0
    np.testing.assert_allclose(of_written, expected, rtol=1e-5)


# -- absent modalities ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", ["masked", "included"])
def test_a_translation_is_learned_from_the_samples_that_have_what_it_writes(padding):
    rng, length = np.random.default_rng(2), np.array([3, 0, 2, 3])
    audio, written = rng.normal(size=(2, 4, 3, 5)).astype(np.float32)
    audio[1] = 0
    batch = {"label": np.zeros(4, np.float32), "weight": np.array([1, 1, 1, 0], np.float32)}
    options = config.override(mctn.MCTNOptions(), {"padding": padding, "pack_text": False})

    def term(written, audio, length, name="translation_2"):
        outputs = {"prediction": jnp.zeros(4), "length": jnp.full(4, 3), "sequences": {name: audio}}
        step = step_of(
            {**outputs, "generated": {name: written}}, {**batch, "audio": {"features": audio, "length": length}}
        )
        return mctn.objective(step, options, KIT.inputs())[0][name][:3].mean()

    value = quick_jit(jax.value_and_grad(term))
    found, gradient = value(written, audio, length)
    np.testing.assert_allclose(found, np.square(written - audio)[[0, 2]].mean(), rtol=1e-5)
    assert [bool(row.any()) for row in gradient] == [True, False, True, False]
    found, gradient = value(written, np.zeros_like(audio), np.zeros_like(length))
    assert found == 0
    np.testing.assert_array_equal(gradient, 0)
    # Frames of zeros are no frames, but for "included", where they are data.
    found, _ = value(written, np.zeros_like(audio), np.array([3, 3, 3, 3]))
    assert (found > 0) == (padding == "included")


def test_a_text_of_its_first_and_last_token_alone_is_not_learned_to_be_written():
    mask = np.array([[1, 1, 1], [1, 1, 0]])
    batch = {"label": np.zeros(2, np.float32), "weight": np.ones(2, np.float32)}
    batch["text"] = {"ids": np.array([[2, 7, 3], [2, 3, 0]]), "mask": mask}
    inputs = Inputs(text=TextInput(width=4, steps=3, bert=BertConfig(), unknown=1))
    states = np.ones((2, 3, 4), np.float32) * mask[..., None]
    step = step_of({}, batch)
    found = rewriting_error(step, mctn.MCTNOptions(), inputs, "text", np.zeros_like(states), states, mask.sum(1))
    np.testing.assert_allclose(found, [2, 0])  # twice that of the only one that has a text


@pytest.mark.parametrize(
    ("there", "translations"),
    [(("text",), set()), (("text", "audio"), {"translation", "cycle"})],
    ids=["text", "text-audio"],
)
def test_with_fewer_modalities_fewer_translations_are_made(there, translations):
    outputs, params = KIT.made(there)
    assert set(outputs["generated"]) == translations
    assert "encoder_2" not in params
    assert set(mctn.weights(KIT.network(there).options, KIT.inputs(there), {}, NOW)) == translations


def test_what_the_score_is_read_off_must_be_there():
    without = KIT.inputs(("audio", "vision"))
    with pytest.raises(InputError, match="the dataset has no text; set order to what there is, such as vision,audio"):
        check_inputs(mctn.METHOD, mctn.MCTNOptions(), without)
    outputs, _ = KIT.made(("audio", "vision"), order="audio,vision")
    assert set(outputs["generated"]) == {"translation", "cycle"}


# -- options ----------------------------------------------------------------------------------------------------------


def test_the_order_says_what_is_written_first():
    outputs, _ = KIT.made(order="text,audio,vision")
    assert outputs["generated"]["translation"].shape == (5, 6, 5)
    assert outputs["generated"]["translation_2"].shape == (5, 6, 3)


def test_the_decay_of_the_score_is_that_of_its_weights_alone():
    groups = {group.name: group for group in mctn.METHOD.groups(mctn.MCTNOptions())}
    assert (groups["score"].weight_decay, groups["other"].weight_decay) == (0.02, 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"order": "text,text"}, "order is text,text"),
        ({"order": "text,smell"}, "order is text,smell"),
        ({"order": ""}, "expected different ones"),
        ({"hidden": 0}, "hidden is 0"),
        ({"weights.cycle": -1}, "weights.cycle is -1"),
        ({"score_decay": -1}, "score_decay is -1"),
    ],
)
def test_options_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        config.override(mctn.MCTNOptions(), changes)
