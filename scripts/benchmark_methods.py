"""What one method costs beside another, and a windowed attention layer beside a dense one."""

import math
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from msa_jax.encoders.windowed import Affine, Layer, Norm, Places, Settings, Window, read_windows
from msa_jax.train.state import Best
from scripts.benchmark_training import Training, options_of
from scripts.benchmark_workload import Workload

WIDTH, HEADS, WINDOW, TILE = 32, 8, Window(size=7, shift="S"), 512
ROWS = 4  # sequences in a batch of the attention layers


class MethodCost:
    """Training steps and predictions of a method from the second epoch on, at the defaults of a protocol but for `changes`.

    stage: its name; by default the last one.
    """

    def __init__(
        self, name: str, workload: Workload, *, protocol: str = "paper", stage: int | str = -1, **changes: Any
    ):
        options = options_of(name, workload, protocol=protocol, **changes)
        self._training, self._next = Training(name, options, workload, stage=stage), 0

    def parameters(self) -> int:
        """How many parameters there are besides the text encoder's."""
        shapes = self._training.inits.shapes.params
        return sum(math.prod(leaf.shape) for path, leaf in shapes.items() if not path.startswith("text_encoder/"))

    def memory_mb(self) -> float:
        """What the compiled epoch program needs besides its arguments and results."""
        return self._training.lower().compile().memory_analysis().temp_size_in_bytes / 2**20

    def train(self, steps: int) -> float:
        """Seconds of a step, the mean of the next so many."""
        stop = self._next + steps
        if stop > self._training.batches - 1:  # the last batch is a short one
            self._next, stop = 0, steps
        begun = time.perf_counter()
        self._training.walk(self._next, stop)
        self._next = stop
        return (time.perf_counter() - begun) / steps

    def predict(self, batches: int) -> float:
        """Seconds of the scores of a batch of 64, the mean of so many."""
        training, begun = self._training, time.perf_counter()
        best = Best(training.state.params, training.state.statistics)
        for _ in range(batches):
            training.scorer.scores(best, training.frozen, "valid", training.programs.heads, runs=1)
        return (time.perf_counter() - begun) / batches


class AttentionCost:
    """Forward and backward pass of one attention layer over ROWS sequences of `length` steps, each of which reads 7 others.

    kind: "windowed", the layer of the Sparse Phased Transformer, or "dense", every step reads every other.
    """

    def __init__(self, kind: str, length: int):
        random = np.random.default_rng(0)

        def draw(*shape: int) -> jax.Array:
            return jnp.asarray(random.normal(size=shape) * 0.1, jnp.float32)

        def affine(into: int, out: int) -> Affine:
            return Affine(draw(1, into, out), draw(1, out))

        norms = [Norm(jnp.ones((1, WIDTH)), jnp.zeros((1, WIDTH))) for _ in range(2)]
        layer = Layer(
            norms[0],
            affine(WIDTH, WIDTH),
            affine(WIDTH, WIDTH),
            norms[1],
            affine(WIDTH, 4 * WIDTH),
            affine(4 * WIDTH, WIDTH),
        )
        project, x = affine(WIDTH, 2 * WIDTH), draw(ROWS, length, WIDTH)
        compute = {"windowed": _windowed, "dense": _dense}[kind]

        def loss(layer: Layer, project: Affine, x: jax.Array) -> jax.Array:
            return (compute(layer, project, x) ** 2).sum()

        self._arguments = layer, project, x
        self._step = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2))).lower(*self._arguments).compile()

    def memory_mb(self) -> float:
        """What the compiled program needs besides its arguments and results."""
        return self._step.memory_analysis().temp_size_in_bytes / 2**20

    def block(self, times: int) -> float:
        """Seconds of a pass, the mean of so many."""
        begun = time.perf_counter()
        for _ in range(times):
            jax.block_until_ready(self._step(*self._arguments))
        return (time.perf_counter() - begun) / times


def _windowed(layer: Layer, project: Affine, x: jax.Array) -> jax.Array:
    rows, length, width = x.shape
    tiles = -(-rows * length // TILE)
    number = np.arange(tiles * TILE).reshape(tiles, TILE)
    row = np.minimum(number // length, rows - 1)
    flat = jnp.pad(x.reshape(-1, width), ((0, tiles * TILE - rows * length), (0, 0)))
    context = project(layer.norm(flat[None]))[0]
    places = Places(
        order=jnp.arange(tiles),
        number=jnp.int32(tiles),
        layer=jnp.zeros(tiles, jnp.int32),
        query=jnp.asarray(number % length, jnp.int32),
        steps=jnp.full((tiles, TILE), length, jnp.int32),
        start=jnp.asarray(row * length, jnp.int32),
        iteration=jnp.int32(0),
        random=jnp.float32(0),
        key=jax.random.key(0),
    )
    settings = Settings(window=WINDOW, heads=HEADS, longest=length, repeat=False)
    out = read_windows(settings, flat.reshape(tiles, TILE, width), layer, context, places)
    return out.reshape(-1, width)[: rows * length].reshape(x.shape)


def _dense(layer: Layer, project: Affine, x: jax.Array) -> jax.Array:
    normed = layer.norm(x)
    keys, values = jnp.split(project(normed), 2, axis=-1)
    query, keys, values = (part.reshape(*x.shape[:2], HEADS, -1) for part in (layer.query(normed), keys, values))
    mixed = jax.nn.dot_product_attention(query, keys, values).reshape(x.shape)
    x = x + layer.output(mixed)
    return x + layer.contract(jax.nn.relu(layer.expand(layer.feedforward_norm(x))))
