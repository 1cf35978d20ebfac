"""TFR-Net: values and gradients against a derivation in PyTorch, what training sees, absent modalities, options."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from msa_jax import config
from msa_jax.encoders.gru import BidirectionalGRU
from msa_jax.errors import InputError
from msa_jax.methods import tfr_net
from msa_jax.methods.protocol import STATISTICS, Clock
from msa_jax.train.settings import resolve
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
LENGTHS = {"text": [6, 2, 3, 1, 5], "audio": [9, 1, 4, 2, 3], "vision": [1, 5, 2, 3, 1]}
OFF = dict.fromkeys(
    (
        "input_dropout", "hidden_dropout", "residual_dropout", "text_dropout", "gate_dropout", "attention_dropout.text",
        "attention_dropout.audio",
    ),
    0.0,
)  # fmt: skip
SMALL = {
    "width": 4, "heads": 2, "layers": 2, "gate_layers": 2, "gate_hidden.text": 3, "gate_hidden.audio": 4,
    "gate_hidden.vision": 2, "hidden": 6, "max_tokens": 6, "missing_rate": 0.5, **OFF,
}  # fmt: skip
KIT = NetworkKit(tfr_net.METHOD, SMALL, SHAPES, LENGTHS)
SECOND = Clock(epoch=jnp.int32(2), step=jnp.int32(9))


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, tfr_net.REFERENCE], ids=["paper", "reference"])
def test_values_and_gradients_are_those_of_pytorch(changes, monkeypatch):
    torch = pytest.importorskip("torch")
    from tests.reference import tfr_net_torch

    torch.set_num_threads(1)
    rng, batch = np.random.default_rng(4), KIT.batch()
    steps = {name: np.arange(SHAPES[name][0]) < np.array(LENGTHS[name])[:, None] for name in ALL}
    lost = {name: steps[name] & (rng.uniform(size=steps[name].shape) < 0.5) for name in ALL}
    masked = {name: batch[name]["features"] * ~lost[name][..., None] for name in ALL}
    copies = with_copies(batch, masked)
    monkeypatch.setattr(tfr_net.TFRNetNetwork, "_copies", lambda self, batch: (copies, lost))
    network, variables = KIT.network(**changes), KIT.variables(**changes)
    # Small, so that no tanh is at its end, where float32 cannot tell which step has the largest value.
    variables = jax.tree.map(lambda leaf: leaf / 2, variables)
    phase = phase_of(tfr_net.METHOD, network.options, network.inputs)
    factor = phase.weights(network.options, network.inputs, {}, SECOND)

    def loss_of(params):
        given = {"params": params, STATISTICS: variables[STATISTICS]}
        outputs, _ = network.apply(given, batch, train=True, mutable=[STATISTICS], rngs={"dropout": jax.random.key(0)})
        terms, _ = phase.objective(step_of(outputs, batch), network.options, network.inputs)
        return sum(factor.get(name, 1.0) * term.mean() for name, term in terms.items()), outputs

    (loss, outputs), gradient = quick_jit(jax.value_and_grad(loss_of, has_aux=True))(variables["params"])
    tensors = {path: torch.tensor(np.asarray(leaf), dtype=torch.float64, requires_grad=True)
               for path, leaf in flatten_dict(variables["params"], sep="/").items()}  # fmt: skip
    complete, incomplete = (
        {name: torch.tensor(np.asarray(x), dtype=torch.float64) for name, x in of.items()}
        for of in ({name: batch[name]["features"] for name in ALL}, masked)
    )
    score, expected = tfr_net_torch.tfr_net(
        complete, incomplete, {name: torch.tensor(x) for name, x in lost.items()},
        {name: torch.tensor(LENGTHS[name]) for name in ALL}, torch.tensor(batch["label"]).double(), tensors,
        heads=2, reference=bool(changes),
    )  # fmt: skip
    expected.backward()
    np.testing.assert_allclose(outputs["prediction"], score.detach(), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(loss, expected.detach(), rtol=1e-4)
    # A shift of a feature at all steps is nothing to the Transformer over features: there large numbers cancel.
    largest = max(float(tensor.grad.abs().max()) for tensor in tensors.values())
    for path, value in flatten_dict(gradient, sep="/").items():
        found = tensors[path].grad.numpy()
        tolerance = 1e-3 * np.abs(found).max() + 1e-4 * largest
        np.testing.assert_allclose(value, found, rtol=5e-3, atol=tolerance, err_msg=path)


@pytest.mark.slow
def test_the_gru_is_that_of_pytorch():
    torch = pytest.importorskip("torch")
    from tests.reference import tfr_net_torch

    rng, length = np.random.default_rng(0), np.array([5, 1, 3])
    module, x = BidirectionalGRU(3, 2), rng.normal(size=(3, 5, 4)).astype(np.float32)
    made = jax.eval_shape(lambda: module.init(jax.random.key(0), x, length))["params"]
    params = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), made)
    found = quick_jit(module.apply)({"params": params}, x, length)
    of = {f"gru/{path}": torch.tensor(leaf).double() for path, leaf in flatten_dict(params, sep="/").items()}
    expected = tfr_net_torch.gru(torch.tensor(x).double(), torch.tensor(length), of, "gru")
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "check", [check_padding, check_weightless_samples, check_batch_of_one, check_bfloat16], ids=lambda x: x.__name__
)
def test_the_network_keeps_to_what_all_such_networks_do(check):
    check(KIT)


@pytest.mark.slow
def test_a_sample_is_rebuilt_from_none_that_does_not_count():
    check_weightless_samples(KIT, rebuilding="samples", future_mask="none")


def trained_terms(outputs, weight, batch=None, *, aligned=False, **changes):
    batch = {**(batch or KIT.batch()), "weight": np.asarray(weight, np.float32)}
    inputs = replace(KIT.inputs(), aligned=aligned)
    return tfr_net.objective(step_of(outputs, batch), KIT.network(**changes).options, inputs)[0]


def outputs_of(rng, lost):
    made = {"prediction": jnp.zeros(5)}
    for name, (steps, width) in SHAPES.items():
        made |= {f"{kind}_{name}": jnp.asarray(rng.normal(size=(5, steps, width))) for kind in ("rebuilt", "complete")}
        made[f"lost_{name}"] = jnp.asarray(lost[name])
    return made


def test_a_reconstruction_is_judged_by_what_was_lost_of_samples_that_count():
    rng = np.random.default_rng(3)
    lost = {name: rng.uniform(size=(5, steps)) < 0.5 for name, (steps, _) in SHAPES.items()}
    outputs = outputs_of(rng, lost)
    found = trained_terms(outputs, [1, 1, 1, 0, 0])
    for name in ALL:
        where = lost[name][:3]
        off = np.abs(np.asarray(outputs[f"rebuilt_{name}"] - outputs[f"complete_{name}"])[:3][where])
        expected = np.where(off < 1, off**2 / 2, off - 0.5).mean()
        np.testing.assert_allclose(found[f"{name}_reconstruction"], expected, rtol=1e-4)
    nothing = trained_terms(outputs_of(rng, {name: np.zeros_like(gone) for name, gone in lost.items()}), np.ones(5))
    assert all(nothing[f"{name}_reconstruction"] == 0 for name in ALL)


def test_what_a_sample_does_not_have_is_not_rebuilt():
    batch, silent = KIT.batch(), np.array([True, False, False, True, False])
    batch["vision"]["features"][silent] = 0
    lost = {name: np.ones((5, steps)) for name, (steps, _) in SHAPES.items()}
    outputs = outputs_of(np.random.default_rng(3), lost)
    there = trained_terms(outputs, ~silent, batch, aligned=True)["vision_reconstruction"]
    every = trained_terms(outputs, np.ones(5), batch)  # frames of zeros are frames where data are not aligned
    found = trained_terms(outputs, np.ones(5), batch, aligned=True)
    assert abs(every["vision_reconstruction"] - there) > 1e-3
    np.testing.assert_allclose(found["vision_reconstruction"], there, rtol=1e-6)
    np.testing.assert_array_equal(found["audio_reconstruction"], every["audio_reconstruction"])
    included = trained_terms(outputs, np.ones(5), batch, aligned=True, padding="included", pack_text=False)
    np.testing.assert_array_equal(included["vision_reconstruction"], every["vision_reconstruction"])


def test_reconstruction_begins_in_the_second_epoch():
    options = tfr_net.TFRNetOptions()
    for epoch, expected in ((1, 0.0), (2, 20.0), (7, 20.0)):
        clock = Clock(epoch=jnp.int32(epoch), step=jnp.int32(0))
        assert tfr_net.weights(options, KIT.inputs(), {}, clock)["vision_reconstruction"] == expected


@pytest.mark.slow
@pytest.mark.parametrize("there", [("text",), ("audio", "vision")], ids=str)
def test_absent_modalities_have_no_encoders(there):
    outputs, params = KIT.made(there)
    assert not any(absent in path for path in flatten_dict(params, sep="/") for absent in set(ALL) - set(there))
    assert params[f"{there[0]}_rebuilt"]["kernel"].shape == (4 * len(there), SHAPES[there[0]][1])
    assert set(tfr_net.METHOD.export_names(tfr_net.TFRNetOptions(), KIT.inputs(there))) <= set(outputs)


@pytest.mark.parametrize(
    ("dataset", "text", "other"), [("mosi", 2e-6, 1e-3), ("mosei", 1e-5, 2e-3), ("sims", 1e-5, 2e-3)]
)
def test_a_preset_of_mmsa_has_its_rates_and_the_reference_protocol_those_of_the_preset(dataset, text, other):
    settings = resolve("tfr_net", preset=f"tfr_net_{dataset}_mmsa")
    rate = settings.options.learning_rate
    assert settings.protocol == "reference"
    assert (rate.text, rate.audio, rate.vision, rate.other) == (text, other, other, other)
    reference = resolve("tfr_net", preset=f"tfr_net_{dataset}", protocol="reference").options
    assert reference.learning_rate == tfr_net.RATES


def test_weight_decay_is_part_of_the_gradient_in_both_protocols():
    for protocol in ("paper", "reference"):
        assert resolve("tfr_net", preset="tfr_net_mosi", protocol=protocol).options.weight_decay_mode == "coupled"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 31}, "option width is 31; expected a multiple of heads, 6"),
        ({"kernels.audio": 2}, "kernels.audio is 2; expected an odd number"),
        ({"missing_rate": 1.0}, "missing_rate is 1.0"),
        ({"weights.text": -1.0}, "weights.text is -1.0"),
        ({"padding": "included"}, "set pack_text to false"),
        ({"reconstruct_from": 0}, "reconstruct_from is 0"),
    ],
)
def test_options_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        config.override(tfr_net.TFRNetOptions(), changes)
