"""The training programs of a method at shapes alone: for devices that are not there, and with weights that nobody has."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from msa_jax import methods
from msa_jax.config import Options
from msa_jax.data.batches import epoch_plan
from msa_jax.data.preprocess import Columns, text_lengths
from msa_jax.methods.protocol import Inputs
from msa_jax.train.mesh import ONE, ROWS, RUNS, SHARED, Layout
from msa_jax.train.prepare import compute_dtype, example_batch
from msa_jax.train.program import Program, Span
from msa_jax.train.stages import resolve_stages, text_capacity


def programs(
    name: str, options: Options, inputs: Inputs, columns: Columns, *, layout: Layout = ONE, runs: int = 1
) -> Iterator[tuple[str, Any, tuple[Any, ...]]]:
    """The name of each stage, its compiled function of an epoch of R runs, and the shapes of what that takes."""
    method = methods.get(name)
    for stage, own in resolve_stages(method, options, inputs):
        program = Program(
            method, own, inputs, stage=stage, updates=100, dtype=compute_dtype(own), layout=layout,
            capacity=None if stage.partners else text_capacity(columns, own),
        )  # fmt: skip
        batch = example_batch(columns, 2)

        def start(key: jax.Array, program: Program = program, batch: Any = batch) -> tuple[Any, Any]:
            params = program.network.init({"params": key}, batch, train=False)["params"]
            trained, frozen = program.split(params)
            return program.start(trained, program.init_memory(columns, {}), key), frozen

        state, frozen = jax.eval_shape(start, jax.random.key(0))
        capacity = program.capacity
        plan = epoch_plan(
            inputs.rows, own.batch_size, seed=0, epoch=1, capacity=capacity,
            lengths=None if capacity is None else text_lengths(columns),
        ).widened(layout.rounded(own.batch_size))  # fmt: skip
        states, plans = (_several(tree, runs) for tree in (state, plan))
        report = jax.eval_shape(
            lambda s, f, d, p, program=program, plan=plan: program.empty_reports(s, f, d, p, batches=len(plan)),
            states, frozen, _shapes(columns), plans,
        )  # fmt: skip
        yield (
            stage.name,
            program.train_runs.compiled(runs),
            (
                _placed(states, layout, runs, RUNS),
                _placed(frozen, layout, runs, SHARED),
                _placed(_rounded(columns, layout), layout, runs, ROWS if layout.data > 1 else SHARED),
                _placed(plans, layout, runs, RUNS),
                _placed(_shapes(Span.of(0, 2, count=2)), layout, runs, SHARED),
                _placed(report, layout, runs, RUNS),
                {},
            ),
        )


def _shapes(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype), tree)


def _several(tree: Any, runs: int) -> Any:
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((runs, *np.shape(leaf)), leaf.dtype), tree)


def _rounded(columns: Columns, layout: Layout) -> Any:
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((layout.rounded(len(leaf)), *leaf.shape[1:]), leaf.dtype), columns
    )


def _placed(tree: Any, layout: Layout, runs: int, spec: P) -> Any:
    mesh = layout.mesh(runs)
    if mesh is None:
        return tree
    sharding = NamedSharding(mesh, spec)
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree)
