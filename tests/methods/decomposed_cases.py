"""What the tests of ConFEDE and DMMSA share: a tiny batch, tiny networks, and losses in numpy."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

from msa_jax import config
from msa_jax.methods import confede, dmmsa
from msa_jax.methods.protocol import Inputs, Method, SequenceInput, TextInput
from msa_jax.modalities import LETTER
from tests.methods.cases import add_frames, params_far_from_start, phase_of, step_of
from tests.quick import quick_jit

TEXT, AUDIO, VISION = (4, 12), (6, 3), (5, 4)  # steps and width
SHAPES = {"text": TEXT, "audio": AUDIO, "vision": VISION}
LENGTHS = {
    "text": [4, 2, 3, 1, 4, 3, 2, 1, 4, 2, 3, 1, 4, 1],
    "audio": [6, 1, 4, 5, 3, 6, 2, 0, 1, 6, 2, 3, 4, 5],
    "vision": [2, 5, 5, 1, 4, 3, 0, 5, 3, 2, 1, 4, 5, 2],
}
LABELS = [-2.0, 0.0, 1.4, -0.2, 3.0, 0.0, -3.0, 0.6, 1.5, -0.5, 2.5, -2.5, 0.5, -1.4]
OWN_LABELS = {"label_t": 0.3, "label_v": -0.4, "label_a": 0.1}  # how far from the m-label
ROWS = len(LABELS)  # two groups of seven
TRAIN_ROWS = 20
SMALL = {
    "width": 8, "audio_layers": 1, "vision_layers": 2, "heads": 2, "feedforward": 6, "dropout": 0.0, "projection": 5,
    "projector_dropout": 0.0, "fusion_hidden": "7,6", "part_hidden": "4", "regressor_hidden": "6,5",
}  # fmt: skip
METHODS = {"confede": confede.METHOD, "dmmsa": dmmsa.METHOD}
ALL = tuple(SHAPES)
PARTS = ("ts", "vs", "as", "td", "vd", "ad")


def make_batch(there=ALL, rows: int = ROWS, *, extra: int = 0, fill: float = 0.0, own_labels: bool = False) -> dict:
    """`extra` more steps of padding in every sequence, `fill` at padding."""
    label = np.array(LABELS, np.float32)[:rows]
    batch: dict[str, Any] = {"label": label, "weight": np.ones(rows, np.float32)}
    batch["row"] = np.arange(rows, dtype=np.int32)
    if own_labels:
        batch |= {name: np.clip(label + shift, -3, 3).astype(np.float32) for name, shift in OWN_LABELS.items()}
    return add_frames(batch, there, SHAPES, LENGTHS, rows=rows, extra=extra, fill=fill)


def whole(batch: dict) -> dict:
    """The batch with a frame at least of each sequence in every sample."""
    for name in ("audio", "vision"):
        if name in batch:
            batch[name]["length"] = np.maximum(batch[name]["length"], 1)
    return batch


def present(name: str) -> np.ndarray:
    """[ROWS] bool, the samples that have this modality."""
    return np.array(LENGTHS[name]) > 0


def inputs_of(batch: dict, **named) -> Inputs:
    shapes = {name: SequenceInput(*SHAPES[name]) for name in ("audio", "vision") if name in batch}
    text = TextInput(steps=TEXT[0], width=TEXT[1]) if "text" in batch else None
    columns = tuple(name for name in ("label_t", "label_a", "label_v") if name in batch)
    return Inputs(text=text, rows=TRAIN_ROWS, columns=columns, **shapes, **named)


def make_options(method: Method, **changes):
    return config.override(method.options(), {**SMALL, **changes})


@functools.cache
def _network(name: str, changes: tuple, inputs: Inputs):
    method = METHODS[name]
    return method.network(make_options(method, **dict(changes)), inputs, jnp.float32)


def network_of(method: Method, batch: dict, **changes):
    return _network(method.name, tuple(sorted(changes.items())), inputs_of(batch))


@functools.cache
def params_of(module) -> dict:
    return params_far_from_start(module, make_batch(module.inputs.modalities, rows=1))


@functools.cache
def _forward(module, train: bool):
    def forward(params, batch):
        return module.apply({"params": params}, batch, train=train, rngs={"dropout": jax.random.key(7)})

    return quick_jit(forward)


def outputs_of(method: Method, batch: dict, *, train: bool = True, **changes) -> dict[str, Any]:
    module = network_of(method, batch, **changes)
    return jax.tree.map(np.asarray, _forward(module, train)(params_of(module), batch))


def some_outputs(there=ALL, rows: int = ROWS, classes=()) -> dict[str, Any]:
    """Outputs as a network could give them."""
    rng = np.random.default_rng(5)
    draw = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
    letters = {LETTER[name] for name in there}
    return {
        "prediction": draw(rows),
        **{name: draw(rows) for name in there},
        "parts": {name: draw(rows, 5) for name in PARTS if name[0] in letters},
        "part_scores": {name: draw(rows) for name in PARTS if name[0] in letters},
        "features": {name: draw(rows, 12 if name == "text" else 8) for name in there},
        "logits": {count: draw(rows, count) for count in classes},
    }


def shapes(method: Method, there=ALL, own_labels: bool = False, label_range=(-3.0, 3.0), **changes):
    """Parameters by path, outputs in evaluation and in training, and the terms of the fusion, in shapes only."""
    return _shapes(method.name, there, own_labels, label_range, tuple(sorted(changes.items())))


@functools.cache
def _shapes(name: str, there: tuple, own_labels: bool, label_range: tuple, changes: tuple):
    method = METHODS[name]
    batch = make_batch(there, own_labels=own_labels)
    inputs = inputs_of(batch, label_range=label_range)
    options = make_options(method, **dict(changes))
    module = method.network(options, inputs, jnp.float32)
    labels = {"label": jnp.zeros(TRAIN_ROWS)}

    def all_of_it(key):
        evaluated, params = module.init_with_output(key, batch, train=False)
        outputs = module.apply(params, batch, train=True, rngs={"dropout": key})
        memory = method.init_memory(options, inputs, labels)
        terms, _ = phase_of(method, options, inputs).objective(step_of(outputs, batch, memory), options, inputs)
        return params["params"], evaluated, outputs, terms

    params, evaluated, outputs, terms = jax.eval_shape(all_of_it, jax.random.key(0))
    return flatten_dict(params, sep="/"), evaluated, outputs, terms


def memory_of(method: Method, batch: dict, label=None, **changes):
    label = np.linspace(-3, 3, TRAIN_ROWS, dtype=np.float32) if label is None else label
    return method.init_memory(make_options(method, **changes), inputs_of(batch), {"label": jnp.asarray(label)})


# -- losses in numpy, float64 -----------------------------------------------------------------------------------------


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def pair_loss(anchor, positive, negatives, temperature: float = 0.5) -> float:
    """NT-Xent of one positive pair (ConFEDE's code)."""
    weight = np.exp(cosine(anchor, positive) / temperature)
    return -np.log(weight / (weight + sum(np.exp(cosine(anchor, other) / temperature) for other in negatives)))


def smooth_l1(distance: np.ndarray, phi: float = 1.0) -> np.ndarray:
    distance = np.abs(np.asarray(distance, np.float64))
    return np.where(distance < phi, 0.5 * distance**2 / phi, distance - 0.5 * phi)
