"""Our side of the benchmark: the engine's own compiled program."""

import json
import math
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from msa_jax import config, load_dataset, methods, train
from msa_jax import labels as label_generation
from msa_jax.data.batches import Plan, epoch_plan
from msa_jax.data.packing import Capacity, choose_capacity, pack
from msa_jax.data.preprocess import text_lengths
from msa_jax.encoders.text import TextEncoder
from msa_jax.train.prepare import compute_dtype, prepare
from msa_jax.train.settings import resolve
from scripts.benchmark_training import Training, bert_config, columns_of
from scripts.benchmark_workload import (
    EPOCH,
    WINDOW,
    Workload,
    flops,
    permutation,
    preset,
    random_memory,
)  # fmt: skip


def options(**changes: Any) -> Any:
    """The preset in our words."""
    chosen = methods.get("self_mm")
    return config.override(config.override(chosen.options(), chosen.reference), {**preset(), **changes})


def plan_of(columns: dict[str, Any], workload: Workload, seed: int = 1) -> tuple[Plan, Capacity | None]:
    """The engine's plan of one epoch, and the shape of its packed text, if there are tokens."""
    lengths = capacity = None
    if "ids" in columns.get("text", {}):
        lengths = columns["text"]["mask"].sum(1)
        capacity = choose_capacity(lengths, workload.batch_size)
    return epoch_plan(
        workload.rows, workload.batch_size, seed=seed, epoch=EPOCH, lengths=lengths, capacity=capacity
    ), capacity


class OurTraining:
    """Self-MM training, window by window, from the second epoch on.

    batches: at most so many of the epoch's plan are used; None for all.
    """

    def __init__(self, workload: Workload, *, batches: int | None = None):
        self._begun = time.perf_counter()
        self._training = training = Training("self_mm", options(batch_size=workload.batch_size), workload)
        count = training.batches if batches is None else min(batches, training.batches)
        self._windows, self._next = count // WINDOW, 0
        # The memory as an earlier epoch would have left it, on the device as the step leaves it: so it compiles once.
        memory = jax.tree.map(lambda leaf: leaf[0], training.state.memory)
        dims = {name: array.shape[1] for name, array in memory.features.items()}
        features = training.inits.layout.replicate(random_memory(dims, workload.rows), 1)
        zero_is_positive = training.phase.options.zero_is_positive
        refresh = jax.jit(partial(label_generation.self_mm.refresh_centres, zero_is_positive=zero_is_positive))
        memory = refresh(memory._replace(features=features))
        training.state = training.state.replace(memory=jax.tree.map(lambda leaf: leaf[None], memory))
        # What an epoch costs besides its windows is charged to every window.
        again = time.perf_counter()
        plan_of(training.columns, workload)
        jax.block_until_ready(refresh(memory))
        whole = max(len(permutation(workload.rows, workload.batch_size)) // WINDOW, 1)
        self._share = (time.perf_counter() - again) / whole if batches is None else 0.0

    def cold(self) -> float:
        """Seconds to the end of the first window, without imports: arrays, parameters, compilation."""
        self.block(1)
        return time.perf_counter() - self._begun

    def block(self, windows: int) -> float:
        """Seconds of the next `windows` windows of the epoch, which begins again at its end."""
        begun, left = time.perf_counter(), windows
        while left:
            stop = min(self._next + left, self._windows)
            self._training.walk(self._next, stop)
            left -= stop - self._next
            self._next = stop % self._windows
        return time.perf_counter() - begun + windows * self._share

    def trace(self, folder: str) -> None:
        """Writes JAX's profile of the next window, for TensorBoard or Perfetto."""
        with jax.profiler.trace(folder):
            self.block(1)


class OurBert:
    """BERT's forward and backward pass alone, on packed batches of MOSI-like text, dropout on."""

    def __init__(self, workload: Workload):
        columns = columns_of(workload)
        plan, capacity = plan_of(columns, workload)
        text, encoder = columns["text"], TextEncoder(bert_config(workload), compute_dtype(options()))
        self._lengths = text["mask"].sum(1)[plan.rows]
        packed = jax.jit(partial(pack, capacity=capacity))
        self._batches = [
            packed(text["ids"][rows], text["mask"][rows], row, offset)
            for rows, row, offset in zip(plan.rows[:-1], plan.packing.row, plan.packing.offset, strict=False)
        ]
        self._flops = [flops(workload.encoder, lengths) for lengths in self._lengths[:-1]]
        self._params = jax.jit(partial(encoder.init, train=False))(jax.random.key(0), self._batches[0])["params"]

        @jax.jit
        def step(params: Any, batch: Any, key: jax.Array) -> tuple[jax.Array, Any]:
            def loss(params: Any) -> jax.Array:
                first = encoder.apply({"params": params}, batch, train=True, rngs={"dropout": key})["first"]
                return (first * jnp.linspace(-1, 1, first.shape[-1])[None]).sum()

            return jax.value_and_grad(loss)(params)

        self._step, self._next = step, 0

    def cold(self) -> float:
        begun = time.perf_counter()
        self.block(1)
        return time.perf_counter() - begun

    def block(self, batches: int) -> float:
        """Operations on real tokens a second, over the next batches."""
        begun, done = time.perf_counter(), 0.0
        for _ in range(batches):
            index, self._next = self._next, (self._next + 1) % len(self._batches)
            jax.block_until_ready(self._step(self._params, self._batches[index], jax.random.key(index)))
            done += self._flops[index]
        return done / (time.perf_counter() - begun)


class OurMatmul:
    """Square matrix multiplications, in what the network computes in on this device."""

    def __init__(self, size: int):
        self._a = jax.random.uniform(jax.random.key(0), (size, size)).astype(compute_dtype(options()))
        self._multiply = jax.jit(jnp.matmul)
        self._flops = 2.0 * size**3

    def device(self) -> str:
        """The kind of the device."""
        return jax.devices()[0].device_kind

    def cold(self) -> float:
        return self.block(1)

    def block(self, times: int) -> float:
        """The best rate of so many multiplications, in floating-point operations a second."""
        best = math.inf
        for _ in range(times):
            begun = time.perf_counter()
            self._multiply(self._a, self._a).block_until_ready()
            best = min(best, time.perf_counter() - begun)
        return self._flops / best


class OurDataset:
    """`msa-jax train` on a real dataset; also writes the arrays and the encoder's sizes for the peer."""

    def __init__(self, data: str, text_encoder: str):
        self._dataset = load_dataset(data)
        self._named = {"protocol": "reference", "preset": "none", "text_encoder": text_encoder}
        self._options = preset()

    def export(self, folder: str) -> list[int]:
        """Writes what the peer needs. Returns the tokens of every training utterance."""
        settings = resolve("self_mm", **self._named, **self._options)
        prepared = prepare(self._dataset, settings.method, settings.options)
        if text_lengths(prepared.columns["train"]) is None:
            raise ValueError("no text in tokens; the benchmark needs it")
        for split in ("train", "valid"):
            columns = prepared.columns[split]
            flat = {"label": columns["label"], **columns["text"]}
            for name in ("audio", "vision"):
                if name in columns:
                    flat[name], flat[f"{name}_length"] = columns[name]["features"], columns[name]["length"]
            np.savez(Path(folder) / f"{split}.npz", **flat)
        bert = prepared.inputs.text.bert
        names = ("hidden_size", "num_layers", "num_heads", "intermediate_size", "vocab_size", "max_positions")
        (Path(folder) / "encoder.json").write_text(json.dumps({name: getattr(bert, name) for name in names}))
        return prepared.columns["train"]["text"]["mask"].sum(1).tolist()

    def block(self, epochs: int) -> list[float]:
        """Seconds of each epoch, scoring of the validation split included; the first one compiles."""
        with TemporaryDirectory() as out:
            train(
                "self_mm", self._dataset, seeds=[1111], out=Path(out) / "run", log=None, **self._named,
                options={**self._options, "max_epochs": epochs, "checkpoint_epochs": epochs},
            )  # fmt: skip
            lines = (Path(out) / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line)["seconds"] for line in lines]
