"""Five seeds of Self-MM whose text encoder is frozen and ran once: side by side as the engine deals them, or in a row."""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from msa_jax import methods
from msa_jax.data.batches import epoch_plan
from msa_jax.methods.protocol import Inputs, Stage
from msa_jax.train.mesh import ONE, use_cores
from msa_jax.train.prepare import compute_dtype, example_batch
from msa_jax.train.program import Program, Span
from msa_jax.train.state import stack
from scripts.benchmark_ours import columns_of, options
from scripts.benchmark_workload import EPOCH, Workload

SEEDS = (1, 2, 3, 4, 5)


class OurSeeds:
    """Self-MM's heads on states of text, and the sequences of the workload.

    together: whether as many seeds as there are devices go side by side.
    """

    def __init__(self, workload: Workload, *, together: bool):
        use_cores()
        columns = columns_of(workload)
        mask, width = columns["text"]["mask"], workload.encoder.hidden_size
        states = np.random.default_rng(0).standard_normal((*mask.shape, width)).astype(np.float32)
        columns["text"] = {"features": states * mask[..., None], "mask": mask}
        method, chosen = methods.get("self_mm"), options(batch_size=workload.batch_size)
        inputs = Inputs(
            text=width, text_steps=mask.shape[1], audio=workload.audio, vision=workload.vision, rows=workload.rows
        )
        dtype = compute_dtype(chosen)
        self._program = Program(
            method, chosen, inputs, stage=Stage(name="train"), updates=100, capacity=None, dtype=dtype
        )
        size = ONE.room if together else 1
        self._windows = workload.rows // workload.batch_size // chosen.accumulate
        self._groups: list[list[Any]] = []
        for first in range(0, len(SEEDS), size):
            seeds = SEEDS[first : first + size]
            states = [self._start(method, chosen, inputs, columns, seed) for seed in seeds]
            plans = [epoch_plan(workload.rows, workload.batch_size, seed=seed, epoch=EPOCH) for seed in seeds]
            plan = jax.tree.map(lambda *parts: np.stack(parts), *plans)
            data = ONE.share(columns, len(seeds))
            self._groups.append([ONE.deal(stack(states), len(seeds)), data, plan])

    def _start(self, method: Any, chosen: Any, inputs: Inputs, columns: dict[str, Any], seed: int) -> Any:
        params = self._program.init_params(jax.random.key(seed), example_batch(columns, 2))
        memory = method.init_memory(chosen, inputs, {"label": jnp.asarray(columns["label"])})
        return self._program.start(params, memory, jax.random.key(seed)).replace(epoch=jnp.int32(EPOCH))

    def epoch(self) -> float:
        """Seconds of an epoch of all seeds."""
        begun = time.perf_counter()
        for group in self._groups:
            states, data, plan = group
            batches = plan.rows.shape[1]
            report = self._program.empty_reports(states, {}, data, plan, batches=batches)
            span = Span.of(0, self._windows, count=batches)
            group[0], report = self._program.train_runs(states, {}, data, plan, span, report, {})
            jax.block_until_ready(group[0])
        return time.perf_counter() - begun
