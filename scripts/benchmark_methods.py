"""What one method costs beside another, and a windowed attention layer beside a dense one."""

import time
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from msa_jax import config, methods
from msa_jax.encoders.windowed import Affine, Layer, Norm, Places, Settings, Window, read_windows
from msa_jax.methods.protocol import Inputs, Stage
from msa_jax.train.prepare import compute_dtype, example_batch
from msa_jax.train.program import Program, Span
from scripts.benchmark_ours import bert_config, columns_of, plan_of
from scripts.benchmark_workload import Workload

WIDTH, HEADS, WINDOW, TILE = 32, 8, Window(size=7, shift="S"), 512
ROWS = 4  # sequences in a batch of the attention layers


class MethodCost:
    """Training steps and predictions of a method from the second epoch on, at its defaults but for `changes`."""

    def __init__(self, name: str, workload: Workload, **changes: Any):
        method = methods.get(name)
        options = config.override(method.options(), {"batch_size": workload.batch_size, **changes})
        columns = columns_of(workload)
        self._plan, capacity = plan_of(columns, workload)
        inputs = Inputs(
            text=bert_config(workload),
            text_steps=columns["text"]["ids"].shape[1],
            audio=workload.audio,
            vision=workload.vision,
            rows=workload.rows,
        )
        stage, dtype = Stage(name="train"), compute_dtype(options)
        self._program = Program(method, options, inputs, stage=stage, updates=1000, capacity=capacity, dtype=dtype)
        params = self._program.init_params(jax.random.key(0), example_batch(columns, 2))
        memory = method.init_memory(options, inputs, {"label": jnp.asarray(columns["label"])})
        self._state = self._program.start(params, memory, jax.random.key(1)).replace(epoch=jnp.int32(2))
        self._columns, self._capacity, self._next = columns, capacity, 0
        self._data = jax.device_put(columns)

    def parameters(self) -> int:
        """Besides the text encoder's."""
        flat = flax.traverse_util.flatten_dict(self._state.params, sep="/")
        return sum(value.size for path, value in flat.items() if not path.startswith("text_encoder/"))

    def train(self, steps: int) -> float:
        """Seconds of a step, the mean of the next so many."""
        stop = self._next + steps
        if stop > len(self._plan) - 1:  # the last batch is a short one
            self._next, stop = 0, steps
        begun = time.perf_counter()
        self._state, report = self._program.train(
            self._state, {}, self._data, jax.tree.map(jnp.asarray, self._plan),
            Span.of(self._next, stop, count=len(self._plan)),
        )  # fmt: skip
        jax.block_until_ready(self._state)
        if int(report.bad_batch) >= 0:
            raise RuntimeError("a loss is not finite")
        self._next = stop
        return (time.perf_counter() - begun) / steps

    def predict(self, batches: int) -> float:
        """Seconds of the scores of a batch, the mean of so many."""
        begun = time.perf_counter()
        for index in range(batches):
            batch = jax.tree.map(lambda column, rows=self._plan.rows[index]: column[rows], self._columns)
            batch["row"], batch["weight"] = self._plan.rows[index], self._plan.weight[index]
            packing = self._plan.packing
            scores = self._program.forward(
                self._state.params, batch, packing.row[index], packing.offset[index], capacity=self._capacity,
                names=self._program.method.heads,
            )  # fmt: skip
            jax.block_until_ready(scores)
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
