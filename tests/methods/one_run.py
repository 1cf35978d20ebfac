"""A run of a method in the engine's own programs, on mini-batches that a test chooses."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from msa_jax.data.batches import Plan
from msa_jax.data.packing import Capacity, Packing, plan_packing
from msa_jax.layers.stack import stack
from msa_jax.methods.protocol import Inputs, Method
from msa_jax.train.checkpoint import StageInit
from msa_jax.train.epoch import WindowRange
from msa_jax.train.model import Model, Variables
from msa_jax.train.programs import StagePrograms
from msa_jax.train.report import term_means
from msa_jax.train.runs import Layout


class OneRun:
    """The only stage of a method, from given parameters; its only phase trains all of them.

    params: {path: array}, layers apart. statistics: running means and variances, by path.
    data: the columns of the training split; those of the text are not packed.
    capacity: rows that the text of a mini-batch is packed into.
    """

    def __init__(
        self,
        method: Method,
        options: Any,
        inputs: Inputs,
        params: Mapping[str, Any],
        data: dict[str, Any],
        *,
        capacity: Capacity | None = None,
        statistics: Mapping[str, Any] | None = None,
    ):
        model = Model(method, options, inputs, jnp.float32)
        row = jax.tree.map(lambda column: column[:1], data)
        shapes = model.shapes({**row, "row": np.zeros(1, np.int32), "weight": np.ones(1, np.float32)})
        (stage,) = method.stages(options, inputs)
        self.options, self.data, self.capacity = options, data, capacity
        self.programs = StagePrograms(stage, model, shapes, capacity=capacity, layout=Layout())
        self.memory = method.init_memory(options, inputs, {"label": jnp.asarray(data["label"])})
        begin = StageInit(Variables(stack(params, shapes.params), dict(statistics or {})), self.memory)
        self.state = self.programs.start([begin], [jax.random.key(0)])
        (self.phase,) = self.programs.phases

    def arguments(self, rows: np.ndarray) -> dict[str, Any]:
        """Of the program that walks an epoch of these mini-batches, rows [batches, B] int32."""
        packing = Packing(np.zeros(rows.shape, np.int32), np.zeros(rows.shape, np.int32))
        if self.capacity is not None:
            packing = Packing(*plan_packing(self.data["text"]["mask"].sum(1)[rows], self.capacity.width)[0])
        plan = Plan(rows, rows, np.ones(rows.shape, np.float32), packing)
        plans = jax.tree.map(lambda leaf: leaf[None], plan)
        return {
            "states": self.state,
            "frozen": {},
            "data": self.data,
            "plans": plans,
            "span": WindowRange.of(0, -(-len(rows) // self.options.accumulate), count=len(rows)),
            "reports": self.phase.empty_report(self.state, {}, self.data, plans),
            "values": {},
        }

    def epoch(self, rows: np.ndarray) -> float:
        """Trains an epoch and gives its mean loss."""
        state, report = self.phase.train(runs=1, **self.arguments(rows))
        means = term_means(report)
        memory = self.phase.end_epoch(runs=1, means=means, memory=state.memory, values={})
        self.state = state.replace(memory=memory, epoch=state.epoch + 1)
        return float(means["loss"][0])

    @property
    def updates(self) -> int:
        """Parameter updates so far."""
        (updates,) = self.state.updates.values()
        return int(updates[0])

    def now(self) -> tuple[dict[str, np.ndarray], Any]:
        """Parameters by path, layers together as in the network, and the memory."""
        return jax.tree.map(lambda leaf: np.asarray(leaf)[0], (dict(self.state.params), self.state.memory))
