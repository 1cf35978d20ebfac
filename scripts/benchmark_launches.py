"""A training step of every method compiled for an NVIDIA H200 that is not there: what it launches, moves and holds.

The step is one update of one run, without the loop over an epoch around it; the mini-batch is gathered in it. Needs the
package of JAX's CUDA plugin (the extra `cuda`), no GPU and no driver.
"""

import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import topologies
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from msa_jax.train.epoch import WindowRange
from scripts.benchmark_shapes import PhaseShapes, phase_shapes
from scripts.benchmark_workload import ENCODERS, Workload
from scripts.hlo_launches import count_launches

DEVICE = Path(__file__).parent / "h200.txtpb"
UNALIGNED = Workload(encoder=ENCODERS["base"])


def step_of(program: PhaseShapes) -> tuple[Any, tuple[Any, ...]]:
    """One step of an epoch program: a function, and the shapes of its arguments, of which the second is the state."""
    phase, arguments = program.phase, program.arguments
    state, report, plan = (
        jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), arguments[name])
        for name in ("states", "reports", "plans")
    )

    def step(number: Any, state: Any, report: Any, plan: Any, frozen: Any, data: Any) -> Any:
        span = WindowRange.of(0, phase.batches, count=phase.batches)
        return phase.walk.window(number, state, report, plan, {}, frozen=frozen, data=data, span=span)

    number = jax.ShapeDtypeStruct((), np.int32)
    return step, (number, state, report, plan, arguments["frozen"], arguments["data"])


class GPULaunches:
    """Steps of a method, compiled for an H200."""

    def __init__(self, name: str, **changes: Any):
        jax.config.update("jax_enable_compilation_cache", False)
        jax.default_backend = lambda: "gpu"  # what code asks that has another way on a CPU
        self._programs = list(phase_shapes(name, UNALIGNED, **changes))

    def names(self) -> list[str]:
        """The name of each step, in the order of training."""
        return [program.name for program in self._programs]

    def measure(self, number: int, text: str | None = None) -> dict[str, float]:
        """What the step of this number costs on the device; text: a file for its optimised HLO.

        "bytes", if the compiler says it, is what the instructions read and write; it counts a loop once.
        """
        compiled, seconds = compile_for_gpu(*step_of(self._programs[number]))
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
            **bytes_accessed(compiled),
        }


def bytes_accessed(compiled: Any) -> dict[str, float]:
    """{"bytes": what the compiler counts that one call reads and writes}; nothing if it does not say."""
    cost = compiled.cost_analysis() or {}
    return {"bytes": cost["bytes accessed"]} if "bytes accessed" in cost else {}


def compile_for_gpu(step: Any, arguments: tuple[Any, ...]) -> tuple[Any, float]:
    """The compiled step, and the seconds that the compiler took. Its state is donated, as in training."""
    topology = topologies.get_topology_desc(
        platform="cuda", target_config=DEVICE.read_text(encoding="utf-8"), topology="1x1x1"
    )
    mesh = topologies.make_mesh(topology, (1,), ("data",))
    place = NamedSharding(mesh, P())
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place), arguments)
    begun = time.perf_counter()
    lowered = jax.jit(step, donate_argnums=1).lower(*shapes)
    try:
        compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        # Without a GPU nothing is tuned, and XLA's own choice of tiles fits not every product. A library multiplies then.
        if "output tile sizes" not in str(error):
            raise
        compiled = lowered.compile(compiler_options={"xla_gpu_enable_triton_gemm": False})
    return compiled, time.perf_counter() - begun
