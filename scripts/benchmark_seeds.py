"""Five seeds of Self-MM: side by side as the engine deals them, or in a row."""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from msa_jax import methods
from msa_jax.methods.protocol import Inputs, Stage
from msa_jax.train.mesh import ONE, use_cores
from msa_jax.train.prepare import compute_dtype, example_batch
from msa_jax.train.program import Program, Span
from msa_jax.train.state import stack
from scripts.benchmark_ours import bert_config, columns_of, options, plan_of
from scripts.benchmark_workload import EPOCH, SEEDS, Workload


class OurSeeds:
    """Self-MM on the text and the sequences of the workload.

    together: whether as many seeds as there are devices go side by side; on an accelerator all of them, which share it.
    frozen: the text encoder ran once, and its states are trained on; otherwise it is fine-tuned, on packed text.
    """

    def __init__(self, workload: Workload, *, together: bool, frozen: bool):
        use_cores()
        columns = columns_of(workload)
        mask, text = columns["text"]["mask"], bert_config(workload)
        if frozen:
            text = workload.encoder.hidden_size
            states = np.random.default_rng(0).standard_normal((*mask.shape, text)).astype(np.float32)
            columns["text"] = {"features": states * mask[..., None], "mask": mask}
        method, chosen = methods.get("self_mm"), options(batch_size=workload.batch_size)
        inputs = Inputs(
            text=text, text_steps=mask.shape[1], audio=workload.audio, vision=workload.vision, rows=workload.rows
        )
        plans = [plan_of(columns, workload, seed) for seed in SEEDS]
        capacity, dtype = plans[0][1], compute_dtype(chosen)
        self._program = Program(
            method, chosen, inputs, stage=Stage(name="train"), updates=100, capacity=capacity, dtype=dtype
        )
        size = 1
        if together:
            size = ONE.room if jax.default_backend() == "cpu" else len(SEEDS)
        self._windows = workload.rows // workload.batch_size // chosen.accumulate
        self._groups: list[list[Any]] = []
        for first in range(0, len(SEEDS), size):
            seeds = SEEDS[first : first + size]
            states = [self._start(method, chosen, inputs, columns, seed) for seed in seeds]
            chosen_plans = [plan for plan, _ in plans[first : first + size]]
            plan = jax.tree.map(lambda *parts: np.stack(parts), *chosen_plans)
            data = ONE.share(columns, len(seeds))
            self._groups.append([ONE.deal(stack(states), len(seeds)), data, plan])

    def _start(self, method: Any, chosen: Any, inputs: Inputs, columns: dict[str, Any], seed: int) -> Any:
        params = self._program.init_params(jax.random.key(seed), example_batch(columns, 2))
        memory = method.init_memory(chosen, inputs, {"label": jnp.asarray(columns["label"])})
        return self._program.start(params, memory, jax.random.key(seed)).replace(epoch=jnp.int32(EPOCH))

    def block(self, windows: int | None = None) -> float:
        """Seconds of the first windows of an epoch, by default of all, of all seeds."""
        begun, windows = time.perf_counter(), min(windows or self._windows, self._windows)
        for group in self._groups:
            states, data, plan = group
            batches = plan.rows.shape[1]
            report = self._program.empty_reports(states, {}, data, plan, batches=batches)
            span = Span.of(0, windows, count=batches)
            group[0], report = self._program.train_runs(states, {}, data, plan, span, report, {})
            jax.block_until_ready(group[0])
        return time.perf_counter() - begun
