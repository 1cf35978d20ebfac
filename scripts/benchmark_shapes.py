"""The training programs of a method at the benchmark's shapes, ready to be lowered.

Shapes alone are needed, so nothing is drawn or encoded.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np

from msa_jax import methods
from msa_jax.data.batches import epoch_plan
from msa_jax.data.preprocess import Columns, text_lengths
from msa_jax.methods.protocol import check_inputs
from msa_jax.train.checkpoint import StageInit
from msa_jax.train.epoch import WindowRange
from msa_jax.train.model import Model, Variables
from msa_jax.train.prepare import compute_dtype, example_batch, special_tokens
from msa_jax.train.programs import PhasePrograms, StagePrograms
from msa_jax.train.runs import ONE, use_cores
from msa_jax.train.stage_data import resolve_stages, text_capacity
from scripts.benchmark_training import NO_PREPROCESSING, columns_of, inputs_of, options_of
from scripts.benchmark_workload import Workload


@dataclass(frozen=True, kw_only=True, eq=False)
class PhaseShapes:
    """The epoch program of one phase of one stage, and the shapes that it is called with.

    name: METHOD, METHOD/STAGE, METHOD/PHASE or METHOD/STAGE/PHASE, and /OPTION VALUE behind it for each changed option.
    arguments: of `phase.train`, for a run alone; states, plans and reports have a leading axis [1].
    """

    name: str
    phase: PhasePrograms
    arguments: dict[str, Any]

    def lower(self) -> Any:
        """The epoch program, traced and lowered."""
        return self.phase.train.compiled(1).lower(*self.arguments.values())


def phase_shapes(name: str, workload: Workload, **changes: Any) -> Iterator[PhaseShapes]:
    """The programs of a method at its defaults but for `changes`, in the order of training.

    Raises:
      InputError: the method cannot be trained on the workload.
    """
    method = methods.get(name)
    options = options_of(name, workload, **changes)
    columns = columns_of(workload)
    inputs = inputs_of(columns, workload)
    check_inputs(method, options, inputs)
    dtype = compute_dtype(options)
    tokens = special_tokens(NO_PREPROCESSING, inputs)
    held = Model(method, options, inputs, dtype).shapes(example_batch(columns, 2))
    stages = resolve_stages(method, options, inputs)
    changed = "".join(f"/{option} {value}" for option, value in changes.items())
    for stage, own in stages:
        model = Model(method, own, inputs, dtype)
        programs = StagePrograms(
            stage, model, held, capacity=text_capacity(columns, own), layout=ONE, tokens=tokens
        )  # fmt: skip
        read = _encoded(programs, held, columns) if programs.encodes_once else columns
        for phase in programs.phases:
            parts = [name]
            parts += [stage.name] if len(stages) > 1 else []
            parts += [phase.phase.name] if len(programs.phases) > 1 else []
            arguments = _arguments(programs, phase, held, read, columns)
            yield PhaseShapes(name="/".join(parts) + changed, phase=phase, arguments=arguments)


def _encoded(programs: StagePrograms, held: Variables, columns: Columns) -> dict[str, Any]:
    """The columns with the states of the tokens instead of these, as shapes."""
    size = programs.options.batch_size
    batch, place = example_batch(columns, size), np.zeros(size, np.int32)
    states = jax.eval_shape(partial(programs.forward._text_states, capacity=None), held, batch, place, place)
    rows = len(columns["label"])
    return {**columns, "text": jax.tree.map(lambda leaf: np.zeros((rows, *leaf.shape[1:]), leaf.dtype), states)}


def _arguments(
    programs: StagePrograms, phase: PhasePrograms, held: Variables, columns: Columns, whole: Columns
) -> dict[str, Any]:
    """What the phase's epoch program is called with. columns: what it reads; whole: before the text was encoded."""
    model, options = programs.model, programs.options
    labels = {column: columns[column] for column in ("label", *model.inputs.columns)}
    memory = jax.eval_shape(partial(model.method.init_memory, model.options, model.inputs), labels)
    init = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), StageInit(held, memory))
    states, frozen = programs.start([init], [jax.random.key(0)]), programs.frozen(held.params)
    packed = "ids" in columns.get("text", {}) and phase.walk.planned is not None
    plan = epoch_plan(
        model.inputs.rows, options.batch_size, seed=1, epoch=1,
        lengths=text_lengths(whole) if packed else None,
        capacity=phase.walk.planned if packed else None,
    ).chunk(0, phase.batches)  # fmt: skip
    plans = jax.tree.map(lambda leaf: leaf[None], plan)
    arguments = {
        "states": states,
        "frozen": dict(frozen),
        "data": dict(columns),
        "plans": plans,
        "span": WindowRange.of(0, phase.batches, count=phase.batches),
        "reports": phase.empty_report(states, frozen, columns, plans),
        "values": {},
    }
    # Not as one tree: that would sort the arguments.
    return {name: jax.tree.map(_shape, argument) for name, argument in arguments.items()}


def _shape(leaf: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype)


class Compilation:
    """How long the epoch programs of a method are, and how long they take to compile from nothing."""

    def __init__(self, name: str, workload: Workload):
        use_cores()
        self._programs = list(phase_shapes(name, workload))

    def names(self) -> list[str]:
        """The name of each program, in the order of training."""
        return [program.name for program in self._programs]

    def measure(self, number: int) -> dict[str, float]:
        """Lines of StableHLO; seconds of tracing, lowering and compiling together, and of the compiler alone."""
        kept = jax.config.jax_enable_compilation_cache
        jax.config.update("jax_enable_compilation_cache", False)
        try:
            begun = time.perf_counter()
            lowered = self._programs[number].lower()
            between = time.perf_counter()
            lowered.compile()
            ended = time.perf_counter()
        finally:
            jax.config.update("jax_enable_compilation_cache", kept)
        return {
            "stablehlo_lines": len(lowered.as_text().splitlines()),
            "cold_seconds": ended - begun,
            "compiler_seconds": ended - between,
        }
