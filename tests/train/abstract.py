"""The training programs of a method at shapes alone: for devices that are not there, and with weights that nobody has."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from msa_jax import methods
from msa_jax.config import Options
from msa_jax.data.batches import Plan, epoch_plan
from msa_jax.data.preprocess import Columns, text_lengths
from msa_jax.methods.protocol import Inputs
from msa_jax.train.checkpoint import StageInit
from msa_jax.train.epoch import WindowRange
from msa_jax.train.model import Model, Variables
from msa_jax.train.prepare import compute_dtype, example_batch
from msa_jax.train.programs import PhasePrograms, StagePrograms
from msa_jax.train.runs import ONE, ROWS, RUNS, SHARED, Layout
from msa_jax.train.stage_data import resolve_stages, text_capacity


def programs(
    name: str, options: Options, inputs: Inputs, columns: Columns, *, layout: Layout = ONE, runs: int = 1
) -> Iterator[tuple[str, Any, tuple[Any, ...]]]:
    """STAGE/PHASE of every phase, its compiled function of an epoch of R runs, and the shapes of what that takes."""
    method = methods.get(name)
    dtype = compute_dtype(options)
    held = Model(method, options, inputs, dtype).shapes(example_batch(columns, 2))
    for stage, own in resolve_stages(method, options, inputs):
        model = Model(method, own, inputs, dtype)
        of_stage = StagePrograms(stage, model, held, capacity=text_capacity(columns, own), layout=layout)
        states = _several(of_stage.start([_zeros(model, held, columns)], [jax.random.key(0)]), runs)
        frozen = of_stage.frozen(held.params)
        data = _rounded(columns, layout)
        for phase in of_stage.phases:
            plans = _several(jax.tree.map(lambda leaf: leaf[None], _plan(phase, inputs, columns, layout)), runs)
            reports = _shapes(phase.empty_report(states, frozen, data, plans))
            yield (
                f"{stage.name}/{phase.phase.name}",
                phase.train.compiled(runs),
                (
                    _placed(states, layout, runs, RUNS),
                    _placed(frozen, layout, runs, SHARED),
                    _placed(data, layout, runs, ROWS if layout.data > 1 else SHARED),
                    _placed(plans, layout, runs, RUNS),
                    _placed(_shapes(WindowRange.of(0, 2, count=2)), layout, runs, SHARED),
                    _placed(reports, layout, runs, RUNS),
                    {},
                ),
            )


def _zeros(model: Model, held: Variables, columns: Columns) -> StageInit:
    """What a run starts from, zeros all of it."""
    labels = {column: columns[column] for column in ("label", *model.inputs.columns)}
    memory = jax.eval_shape(lambda given: model.method.init_memory(model.options, model.inputs, given), labels)
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), StageInit(held, memory))


def _plan(phase: PhasePrograms, inputs: Inputs, columns: Columns, layout: Layout) -> Plan:
    """The plan of an epoch of the phase, of one run."""
    size = phase.options.batch_size
    planned = phase.walk.planned
    lengths = None if planned is None else text_lengths(columns)
    plan = epoch_plan(inputs.rows, size, seed=0, epoch=1, capacity=planned, lengths=lengths)
    return plan.chunk(0, phase.batches).widened(layout.rounded(size))


def _shapes(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype), tree)


def _several(tree: Any, runs: int) -> Any:
    """Leaves [1, ...] as shapes [R, ...]."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((runs, *np.shape(leaf)[1:]), leaf.dtype), tree)


def _rounded(columns: Columns, layout: Layout) -> Any:
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((layout.rounded(len(leaf)), *leaf.shape[1:]), leaf.dtype), dict(columns)
    )


def _placed(tree: Any, layout: Layout, runs: int, spec: P) -> Any:
    mesh = layout.mesh(runs)
    if mesh is None:
        return _shapes(tree)
    sharding = NamedSharding(mesh, spec)
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree)
