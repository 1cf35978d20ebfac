"""MFN, Graph-MFN and MFM in the reference protocol against an independent PyTorch derivation: five steps of gradient descent,
and golden files of other sizes."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from msa_jax import config
from msa_jax.layers.dropout import mask_key
from msa_jax.methods import graph_mfn, mfm, mfn
from msa_jax.methods.protocol import Clock, Step
from tests import golden_mmsa
from tests.golden import graph_mfn as golden_graph_mfn
from tests.golden import mfm as golden_mfm
from tests.golden import mfn as golden_mfn
from tests.golden.copying import copied, place
from tests.golden.mfn import aligned_inputs
from tests.quick import quick_jit

torch = pytest.importorskip("torch")

from tests.reference import memory_torch  # noqa: E402
from tests.reference.memory_torch import Sizes  # noqa: E402

torch.set_num_threads(1)  # its threads and those of XLA would wait for each other

# Quickly, such networks are shown by test_fusion_networks, test_memory_methods and test_ef_lstm.
pytestmark = pytest.mark.slow

ROWS, STEPS, RATE = 6, 5, 0.3
SIZES = Sizes()
LAYERS = ("proposal", "retain", "update")
MODALITIES = ("text", "audio", "vision")
WEIGHTS = {"l": 0.5, "a": 0.2, "v": 0.3, "mmd": 20.0}
MEMORY = {
    **{f"hidden.{name}": size for name, size in zip(MODALITIES, SIZES.hidden, strict=True)},
    "memory": SIZES.memory,
    **{f"layer.{name}": getattr(SIZES, name) for name in LAYERS},
    **{f"dropout.{name}": 0.0 for name in LAYERS},
    "max_tokens": STEPS,
}
ATTENTION = {"layer.attention": SIZES.attention, "dropout.attention": 0.0}
FACTORS = ("label", *MODALITIES)
OPTIONS = {
    "mfn": {**MEMORY, **ATTENTION, "score_hidden": SIZES.score, "constant_sequences": False},
    "graph_mfn": {**MEMORY, "score_hidden": SIZES.score, "vertex": SIZES.vertex},
    "mfm": {
        **MEMORY,
        **ATTENTION,
        **{f"code.{name}": size for name, size in zip(FACTORS, SIZES.code, strict=True)},
        **{f"factor.{name}": size for name, size in zip(FACTORS, SIZES.factor, strict=True)},
        **{f"factor_dropout.{name}": 0.0 for name in (*FACTORS, "score")},
        **{f"weights.{name}": WEIGHTS[letter] for name, letter in zip(MODALITIES, "lav", strict=True)},
        "weights.discrepancy": WEIGHTS["mmd"],
    },
}
METHODS = {"mfn": mfn.METHOD, "graph_mfn": graph_mfn.METHOD, "mfm": mfm.METHOD}
PLACES = {"mfn": golden_mfn.PLACES, "graph_mfn": golden_graph_mfn.PLACES, "mfm": golden_mfm.PLACES}
TWINS = {"mfn": memory_torch.MFNTorch, "graph_mfn": memory_torch.GraphMFNTorch, "mfm": memory_torch.MFMTorch}


first_quickly = pytest.mark.parametrize(
    "name", ["mfn", *(pytest.param(name, marks=pytest.mark.slow) for name in ("graph_mfn", "mfm"))]
)


def arrays(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    made = {
        f"input/{name}": rng.normal(size=(ROWS, STEPS, width))
        for name, width in zip(MODALITIES, SIZES.width, strict=True)
    }
    made["input/label"] = rng.uniform(-3, 3, ROWS)
    return {name: value.astype(np.float32) for name, value in made.items()}


def named(name: str) -> str:
    """The name of a parameter of the twin as golden files have it."""
    return re.sub(r"^(vertex_\w+)\.", r"\1/", name)


def twin(name: str):
    torch.manual_seed(0)
    model = TWINS[name](SIZES)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)  # so that gates and attention are far from even
    return model


def weights_of(model) -> dict[str, np.ndarray]:
    return {named(name): value.numpy().copy() for name, value in model.state_dict().items()}


def normals(key: jax.Array) -> dict[str, np.ndarray]:
    """What our objective draws for each code."""
    return {
        letter: np.asarray(jax.random.normal(jax.random.fold_in(mask_key(key), number), (ROWS, size)))
        for number, (letter, size) in enumerate(zip("ylav", SIZES.code, strict=True))
    }


def expected(name: str, model, given: dict[str, np.ndarray], key: jax.Array):
    """The twin's score, loss and gradients."""
    sequences = [torch.tensor(given[f"input/{modality}"]) for modality in MODALITIES]
    label = torch.tensor(given["input/label"])
    outputs = model(*sequences)
    if name == "mfm":
        drawn = {letter: torch.tensor(value) for letter, value in normals(key).items()}
        loss = memory_torch.mfm_loss(outputs, label, drawn, WEIGHTS)
    else:
        loss = (outputs[0] - label).abs().mean()
    model.zero_grad()
    loss.backward()
    found = {
        named(each): value.grad.numpy().copy() for each, value in model.named_parameters() if value.grad is not None
    }
    return outputs[0].detach().numpy(), loss.item(), found


@first_quickly
def test_five_training_steps_have_the_scores_losses_and_gradients_of_torch(name):
    method, model, places = METHODS[name], twin(name), PLACES[name]
    options = config.override(method.options(), {**method.reference, **OPTIONS[name]})
    inputs, _ = aligned_inputs(arrays(0))
    network = method.network(options, inputs, jnp.float32)
    (phase,) = method.stages(options, inputs)[0].phases

    def total(params, batch, key):
        outputs = network.apply({"params": params}, batch, train=True)
        clock = Clock(jnp.int32(1), jnp.int32(0))
        terms, _ = phase.objective(Step(outputs, batch, {}, clock, key, {}), options, inputs)
        weights = phase.weights(options, inputs, {}, clock)
        return sum(weights.get(term, 1.0) * value.mean() for term, value in terms.items()), outputs["prediction"]

    @quick_jit
    def step(params, batch, key):
        (loss, score), gradient = jax.value_and_grad(total, has_aux=True)(params, batch, key)
        return loss, score, gradient, jax.tree.map(lambda old, slope: old - RATE * slope, params, gradient)

    params = unflatten_dict(copied(weights_of(model), places)[0], sep="/")
    for seed in range(5):
        given, key = arrays(seed), jax.random.key(seed)
        _, batch = aligned_inputs(given)
        score, loss, gradients = expected(name, model, given, key)
        found_loss, found_score, found, params = step(params, batch, key)
        np.testing.assert_allclose(found_score, score, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found_loss, loss, rtol=1e-4)
        flat = flatten_dict(found, sep="/")
        for each, value in gradients.items():
            path, transposed = place(each, value.ndim, places)
            ours = np.asarray(flat[path])
            np.testing.assert_allclose(
                ours.T if transposed else ours, value, rtol=1e-3, atol=1e-5 + 1e-4 * np.abs(value).max(), err_msg=each
            )
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter -= RATE * parameter.grad


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_a_golden_file_of_other_sizes_agrees_until_a_weight_is_changed(name, tmp_path):
    model, given = twin(name), arrays(7)
    outputs = model(*(torch.tensor(given[f"input/{modality}"]) for modality in MODALITIES))
    loss = (outputs[0] - torch.tensor(given["input/label"])).abs().mean()
    made = {"M": outputs[0].detach().numpy()[:, None]}
    if name == "mfn":
        made["L"] = outputs[1].detach().numpy()
    if name == "mfm":
        generation = 0.5 * outputs[2]["l"] + 0.01 * outputs[2]["a"] + 0.5 * outputs[2]["v"]
        made["generation"], loss = generation.detach().numpy(), loss + generation
    model.zero_grad()
    loss.backward()
    gradients = {named(each): value.grad.numpy() for each, value in model.named_parameters() if value.grad is not None}
    file = {
        **{f"param/{each}": value for each, value in weights_of(model).items()},
        **given,
        **{f"output/{each}": value for each, value in made.items()},
        **{f"grad/{each}": value for each, value in gradients.items()},
    }
    path = tmp_path / f"{name}.npz"
    np.savez(path, **file)
    assert golden_mmsa.main([str(path)]) == 0
    changed = "param/mfn_encoder.lstm_l.weight_hh" if name == "mfm" else "param/lstm_l.weight_hh"
    file[changed][0, 0] += 0.1
    np.savez(path, **file)
    assert golden_mmsa.main([str(path)]) == 1
