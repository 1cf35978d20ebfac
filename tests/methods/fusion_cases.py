"""The fusion networks at small sizes, for the tests of all of them."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from msa_jax import config, methods
from msa_jax.methods.protocol import STATISTICS, Inputs, SequenceInput, Step, TextInput
from msa_jax.modalities import MODALITIES, UNIMODAL_LABELS
from tests.methods.cases import FIRST, add_frames, params_far_from_start, phase_of
from tests.quick import quick_jit

SHAPES = {"text": (6, 8), "audio": (7, 5), "vision": (4, 3)}
LENGTHS = {"text": [6, 2, 3, 1, 5], "audio": [7, 1, 4, 2, 3], "vision": [1, 4, 2, 3, 0]}
OWNERS = {"text": "text_subnetwork", "audio": "audio_encoder", "vision": "vision_encoder"}
SIZES = {
    "text_hidden": 4, "text_size": 3, "audio_size": 3, "vision_size": 4, "fusion_hidden": 6, "rank": 2,
    "head_hidden.text": 4, "head_hidden.audio": 3, "head_hidden.vision": 5,
}  # fmt: skip


def options_of(name: str, **changes: Any) -> Any:
    """Small options without dropout."""
    options = methods.get(name).options()
    known = config.flatten(options)
    small = {option: size for option, size in SIZES.items() if option in known}
    rates = {option: 0.0 for option in known if option.startswith(("dropout.", "head_dropout."))}
    return config.override(options, {**small, **rates, **changes})


def inputs_of(there=MODALITIES, **fields: Any) -> Inputs:
    """Inputs of these modalities, with human labels of each."""
    text = TextInput(width=SHAPES["text"][1], steps=SHAPES["text"][0]) if "text" in there else None
    sequences = {name: SequenceInput(*SHAPES[name]) for name in ("audio", "vision") if name in there}
    return Inputs(**{"text": text, "columns": UNIMODAL_LABELS, **sequences, **fields})


def batch_of(there=MODALITIES, *, rows: int = 5, extra: int = 0, fill: float = 0.0) -> dict:
    """Five samples with all labels."""
    rng = np.random.default_rng(1)
    labels = {name: rng.uniform(-3, 3, 5).astype(np.float32)[:rows] for name in ("label", *UNIMODAL_LABELS)}
    batch = {**labels, "weight": np.ones(rows, np.float32), "row": np.arange(rows, dtype=np.int32)}
    return add_frames(batch, there, SHAPES, LENGTHS, rows=rows, extra=extra, fill=fill)


def network_of(name: str, there=MODALITIES, *, dtype=jnp.float32, **changes: Any) -> Any:
    """The network of a method."""
    return methods.get(name).network(options_of(name, **changes), inputs_of(there), dtype)


@functools.cache
def variables_of(name: str, there=MODALITIES) -> dict:
    """Parameters and running statistics far from where they start."""
    network, batch = network_of(name, there), batch_of(there)
    shapes = jax.eval_shape(lambda: network.init(jax.random.key(0), batch, train=False)).get(STATISTICS, {})
    rng = np.random.default_rng(5)
    statistics = jax.tree.map(lambda leaf: rng.uniform(0.5, 2, leaf.shape).astype(np.float32), shapes)
    return {"params": params_far_from_start(network, batch), STATISTICS: statistics}


@functools.cache
def _evaluation(name: str, there, changes: tuple) -> Any:
    network = network_of(name, there, **dict(changes))
    return quick_jit(lambda variables, batch: network.apply(variables, batch, train=False))


def evaluated(name: str, there=MODALITIES, batch=None, variables=None, **changes: Any) -> dict:
    """Outputs in evaluation mode."""
    apply = _evaluation(name, there, tuple(changes.items()))
    return apply(variables or variables_of(name, there), batch or batch_of(there))


@functools.cache
def _training(name: str, there, changes: tuple) -> Any:
    method, network = methods.get(name), network_of(name, there, **dict(changes))
    options, inputs = network.options, network.inputs
    phase = phase_of(method, options, inputs)

    def total(params, statistics, batch):
        outputs, moved = network.apply(
            {"params": params, STATISTICS: statistics}, batch, train=True, mutable=[STATISTICS],
            rngs={"dropout": jax.random.key(3)},
        )  # fmt: skip
        terms, _ = phase.objective(Step(outputs, batch, {}, FIRST, jax.random.key(4), {}), options, inputs)
        weights = phase.weights(options, inputs, {}, FIRST)
        loss = sum(weights.get(term, 1.0) * value for term, value in terms.items())
        return jnp.where(batch["weight"] > 0, loss, 0).sum() / batch["weight"].sum(), (outputs, moved[STATISTICS])

    return quick_jit(jax.grad(total, has_aux=True))


def trained(name: str, batch: dict, there=MODALITIES, **changes: Any) -> tuple[dict, dict, dict]:
    """A training step: outputs, running statistics after it, the gradient of the mean loss over what counts."""
    variables = variables_of(name, there)
    step = _training(name, there, tuple(changes.items()))
    gradient, (outputs, moved) = step(variables["params"], variables[STATISTICS], batch)
    return outputs, moved, gradient
