"""A training step of every method compiled for an NVIDIA H200 that is not there: what it launches and holds.

Shapes alone are needed, so nothing is drawn, encoded or allocated. The step is one update of one run, without the loop over an
epoch around it; the mini-batch is gathered in it. Needs the package of JAX's CUDA plugin (the extra `cuda`), no GPU and no
driver.
"""

import importlib.util
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import topologies
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from msa_jax import methods
from msa_jax.data.batches import epoch_plan
from msa_jax.data.preprocess import Columns, text_lengths
from msa_jax.errors import InputError
from msa_jax.modalities import MODALITIES
from msa_jax.train.checkpoint import StageInit
from msa_jax.train.epoch import WindowRange
from msa_jax.train.model import Model, Variables
from msa_jax.train.prepare import compute_dtype, example_batch
from msa_jax.train.programs import PhasePrograms, StagePrograms
from msa_jax.train.runs import ONE
from msa_jax.train.stage_data import resolve_stages, text_capacity
from scripts.benchmark_training import columns_of, inputs_of, options_of
from scripts.benchmark_workload import ENCODERS, TOKENS, Workload
from scripts.hlo_launches import count_launches

PLUGIN = "jax_cuda13_plugin"
DEVICE = Path(__file__).parent / "h200.txtpb"
UNALIGNED = Workload(encoder=ENCODERS["base"])
ALIGNED = replace(UNALIGNED, audio=(TOKENS, 5), vision=(TOKENS, 20))  # of methods that ask for one time axis


@dataclass(frozen=True, kw_only=True)
class StepShapes:
    """A step of one phase of one stage. name: METHOD, METHOD/STAGE, METHOD/PHASE or METHOD/STAGE/PHASE.

    step: a function of `arguments`, which are shapes."""

    name: str
    step: Any
    arguments: tuple[Any, ...]


def step_shapes(name: str, *, workload: Workload | None = None, **changes: Any) -> Iterator[StepShapes]:
    """The steps of a method at its defaults, for a GPU.

    workload: gives the shapes, by default MOSI's. changes: of options.
    """
    method = methods.get(name)
    options = options_of(name, UNALIGNED, **changes)
    aligned = method.needs_aligned(options)
    workload = workload or (ALIGNED if aligned else UNALIGNED)
    columns = columns_of(workload)
    human = {f"label_{name[0]}": columns["label"] for name in MODALITIES}
    columns = {**columns, **human}
    inputs = replace(inputs_of(columns, workload), columns=tuple(human), aligned=aligned)
    dtype = compute_dtype(options)
    held = Model(method, options, inputs, dtype).shapes(example_batch(columns, 2))
    stages = resolve_stages(method, options, inputs)
    for stage, own in stages:
        model = Model(method, own, inputs, dtype)
        of_stage = StagePrograms(stage, model, held, capacity=text_capacity(columns, own), layout=ONE)
        read = _encoded(of_stage, held, columns) if _encodes_once(of_stage) else columns
        for phase in of_stage.phases:
            parts = [name]
            parts += [stage.name] if len(stages) > 1 else []
            parts += [phase.phase.name] if len(of_stage.phases) > 1 else []
            yield _step(parts, of_stage, phase, held, read, columns)


def _encodes_once(programs: StagePrograms) -> bool:
    """Whether the text encoder runs before the stage, not in its steps."""
    method, options = programs.model.method, programs.options
    once = options.encode_once and method.text_encoder is not None and not method.adapts_text(options)
    return once and programs.freezes_module(method.text_encoder)


def _encoded(programs: StagePrograms, held: Variables, columns: Columns) -> dict[str, Any]:
    """The columns with the states of the tokens instead of these, as shapes."""
    size = programs.options.batch_size
    batch, place = example_batch(columns, size), np.zeros(size, np.int32)
    states = jax.eval_shape(partial(programs.forward._text_states, capacity=None), held, batch, place, place)
    rows = len(columns["label"])
    return {**columns, "text": jax.tree.map(lambda leaf: np.zeros((rows, *leaf.shape[1:]), leaf.dtype), states)}


def _step(
    parts: list[str], of_stage: StagePrograms, phase: PhasePrograms, held: Variables, columns: Columns, whole: Columns
) -> StepShapes:
    model, options = of_stage.model, of_stage.options
    labels = {column: columns[column] for column in ("label", *model.inputs.columns)}
    memory = jax.eval_shape(partial(model.method.init_memory, model.options, model.inputs), labels)
    init = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), StageInit(held, memory))
    state, frozen = of_stage.start([init], [jax.random.key(0)]), of_stage.frozen(held.params)
    tokens = "ids" in columns.get("text", {})
    plan = epoch_plan(
        model.inputs.rows, options.batch_size, seed=1, epoch=1,
        lengths=text_lengths(whole) if tokens and phase.capacity is not None else None,
        capacity=phase.capacity if tokens else None,
    ).chunk(0, phase.batches)  # fmt: skip
    plans = jax.tree.map(lambda leaf: leaf[None], plan)
    report = phase.empty_report(state, frozen, columns, plans)
    one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), (state, report))

    def step(number: Any, state: Any, report: Any, plan: Any, frozen: Any, data: Any) -> Any:
        span = WindowRange.of(0, phase.batches, count=phase.batches)
        return phase.walk.window(number, state, report, plan, {}, frozen=frozen, data=data, span=span)

    arguments = (np.int32(0), *one, plan, dict(frozen), dict(columns))
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype), arguments)
    return StepShapes(name="/".join(parts), step=step, arguments=shapes)


class GPULaunches:
    """Steps of a method, compiled for an H200."""

    def __init__(self, name: str, **changes: Any):
        if importlib.util.find_spec(PLUGIN) is None:
            raise InputError(
                "compiling for a GPU needs JAX's CUDA plugin; install the extra cuda: pip install '.[cuda]'"
            )
        jax.config.update("jax_enable_compilation_cache", False)
        jax.default_backend = lambda: "gpu"  # what code asks that has another way on a CPU
        self._steps = list(step_shapes(name, **changes))

    def names(self) -> list[str]:
        """Of the steps, in order."""
        return [each.name for each in self._steps]

    def measure(self, number: int, text: str | None = None) -> dict[str, float]:
        """What the step of this number costs on the device; text: a file for its optimised HLO."""
        each = self._steps[number]
        compiled, seconds = compile_for_gpu(each)
        hlo, memory = compiled.as_text(), compiled.memory_analysis()
        if text is not None:
            Path(text).write_text(hlo, encoding="utf-8")
        found = count_launches(hlo)
        return {
            "launches": found.total,
            "host_conditions": found.host_conditions,
            "arguments_mb": memory.argument_size_in_bytes / 2**20,
            "temporary_mb": memory.temp_size_in_bytes / 2**20,
            "compiler_seconds": seconds,
        }


def compile_for_gpu(each: StepShapes) -> tuple[Any, float]:
    """The compiled step, and the seconds that the compiler took. Its state is donated, as in training."""
    topology = topologies.get_topology_desc(
        platform="cuda", target_config=DEVICE.read_text(encoding="utf-8"), topology="1x1x1"
    )
    mesh = topologies.make_mesh(topology, (1,), ("data",))
    place = NamedSharding(mesh, P())
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place), each.arguments)
    begun = time.perf_counter()
    lowered = jax.jit(each.step, donate_argnums=1).lower(*shapes)
    try:
        compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        # Without a GPU nothing is tuned, and XLA's own choice of tiles fits not every product. A library multiplies then.
        if "output tile sizes" not in str(error):
            raise
        compiled = lowered.compile(compiler_options={"xla_gpu_enable_triton_gemm": False})
    return compiled, time.perf_counter() - begun
