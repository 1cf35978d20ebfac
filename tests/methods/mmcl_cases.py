"""A small MMCL on a small batch, compiled quickly, and what it gives."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

from msa_jax import config
from msa_jax.methods import mmcl
from msa_jax.methods.protocol import Clock, Inputs, SequenceInput, TextInput
from tests.methods.cases import FIRST, add_frames, params_far_from_start, step_of
from tests.quick import quick_jit

TEXT, AUDIO, VISION = (6, 8), (9, 3), (7, 4)  # steps and width
SHAPES = {"text": TEXT, "audio": AUDIO, "vision": VISION}
LENGTHS = {
    "text": [6, 2, 4, 1, 5, 3, 6, 2],
    "audio": [9, 1, 4, 7, 3, 9, 2, 5],
    "vision": [2, 7, 7, 1, 5, 4, 3, 6],
}
LABELS = [-2.0, 0.0, 1.4, -0.2, 3.0, 0.0, -3.0, 0.6]
ROWS = len(LABELS)
SMALL = {
    "lstm_hidden": 4, "layers": 1, "heads": 2, "feedforward": 6, "width": 16, "cnn_channels": 12, "cnn_kernels": "3,2",
    "cnn_strides": "2,1", "predictor_hidden": 8, "dropout": 0.0,
}  # fmt: skip
LINEAR = {"unimodal": "linear"}  # where the Transformer does not matter: it takes long to compile
ALL_TERMS = {"multimodal", "contrast_audio", "contrast_vision", "cross", "alignment", "uniformity", "sentiment"}
SPREADS = {"spread_audio", "spread_vision"}  # terms that are measured and not minimised
LATENTS = {"predicted_audio", "predicted_vision", "latent_audio", "latent_vision"}
TWINS = {"encoded_audio", "cutoff_audio", "encoded_vision", "cutoff_vision"}


def make_batch(modalities=tuple(SHAPES), rows: int = ROWS, extra: int = 0, fill: float = 0.0, seed: int = 0) -> dict:
    """`extra` more steps of padding in every sequence, `fill` at padding."""
    batch: dict[str, Any] = {"label": np.array(LABELS, np.float32)[:rows], "weight": np.ones(rows, np.float32)}
    return add_frames(batch, modalities, SHAPES, LENGTHS, rows=rows, extra=extra, fill=fill, seed=seed)


def inputs_of(batch: dict) -> Inputs:
    shapes = {name: batch[name]["features"].shape[1:] for name in SHAPES if name in batch}
    steps, width = shapes.pop("text", (0, 0))
    text = TextInput(steps=steps, width=width) if width else None
    return Inputs(text=text, **{name: SequenceInput(*shape) for name, shape in shapes.items()})


def make_options(**changes) -> mmcl.MMCLOptions:
    return config.override(mmcl.MMCLOptions(), {**SMALL, **changes})


def minimised(terms: dict) -> dict:
    """The terms, or their weights, that are minimised."""
    return {name: value for name, value in terms.items() if name not in SPREADS}


@functools.cache
def _network(changes: tuple, inputs: Inputs, dtype: str) -> mmcl.MMCLNetwork:
    return mmcl.MMCLNetwork(make_options(**dict(changes)), inputs, jnp.dtype(dtype))


@functools.cache
def params_of(network: mmcl.MMCLNetwork) -> dict:
    return params_far_from_start(network, make_batch(network.inputs.modalities, rows=1))


@functools.cache
def forward_of(network: mmcl.MMCLNetwork):
    def forward(params, batch):
        return network.apply({"params": params}, batch, train=True, rngs={"dropout": jax.random.key(7)})

    return quick_jit(forward)


@functools.cache
def gradients_of(network: mmcl.MMCLNetwork):
    def total(params, batch):
        outputs = network.apply({"params": params}, batch, train=True, rngs={"dropout": jax.random.key(7)})
        terms, _ = mmcl.objective(step_of(outputs, batch), network.options, network.inputs)
        count = jnp.maximum(batch["weight"].sum(), 1)
        means = {
            name: term if term.ndim == 0 else (term * batch["weight"]).sum() / count for name, term in terms.items()
        }
        weights = mmcl.weights(network.options, network.inputs, {}, FIRST)
        return sum(weights.get(name, 1.0) * mean for name, mean in means.items()), terms

    return quick_jit(jax.value_and_grad(total, has_aux=True))


def network_of(batch: dict, dtype: str = "float32", **changes) -> mmcl.MMCLNetwork:
    return _network(tuple(sorted(changes.items())), inputs_of(batch), dtype)


def outputs_of(batch: dict, **named) -> dict[str, np.ndarray]:
    """What the network gives in training."""
    network = network_of(batch, **named)
    return jax.tree.map(np.asarray, forward_of(network)(params_of(network), batch))


def terms_of(outputs: dict, batch: dict, *, epoch: int = 1, step: int = 0, **changes) -> dict[str, np.ndarray]:
    """The objective's terms of these outputs."""
    clock = Clock(jnp.int32(epoch), jnp.int32(step))
    options, inputs = make_options(**changes), inputs_of(batch)

    def objective(outputs, batch):
        return mmcl.objective(step_of(outputs, batch, clock=clock), options, inputs)

    # Without jit what is compiled for one test serves the next, but not for sizes that no other has.
    run = objective if len(batch["label"]) == ROWS else quick_jit(objective)
    terms, memory = run(outputs, batch)
    assert memory == {}
    return jax.tree.map(np.asarray, minimised(terms))


def gradient_of(batch: dict, **named) -> tuple[dict, dict]:
    """The terms, and the gradient of their weighted sum by path."""
    network = network_of(batch, **named)
    (_, terms), gradient = jax.tree.map(np.asarray, gradients_of(network)(params_of(network), batch))
    return minimised(terms), flatten_dict(gradient, sep="/")


@functools.cache
def shapes(there: tuple = tuple(SHAPES), **changes) -> tuple[dict, dict, dict]:
    """Parameters by path, outputs in evaluation and terms, in shapes only."""
    batch = make_batch(there)
    network = network_of(batch, **changes)

    def both(key):
        evaluated, params = network.init_with_output(key, batch, train=False)
        outputs = network.apply(params, batch, train=True, rngs={"dropout": key})
        terms, _ = mmcl.objective(step_of(outputs, batch), network.options, network.inputs)
        return params["params"], evaluated, terms

    params, evaluated, terms = jax.eval_shape(both, jax.random.key(0))
    return flatten_dict(params, sep="/"), evaluated, minimised(terms)


def louder(batch: dict, name: str) -> dict:
    """The batch with other features in one modality."""
    return {**batch, name: {**batch[name], "features": batch[name]["features"] * 1.5}}


def some_outputs(seed: int = 0) -> dict[str, np.ndarray]:
    """Outputs as a network could give them."""
    rng = np.random.default_rng(seed)
    sizes = {**dict.fromkeys(TWINS, (ROWS, 8)), **dict.fromkeys(LATENTS, (ROWS, 12)), "prediction": (ROWS,)}
    return {name: rng.normal(size=size).astype(np.float32) for name, size in sorted(sizes.items())}
