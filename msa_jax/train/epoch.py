"""An epoch of one phase of one run, as one compiled walk: mini-batches gathered on the device, windows of them, updates.

The host sends a plan, the numbers of the samples of every mini-batch. Between two steps there is no Python.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from msa_jax.config import Options
from msa_jax.data.batches import Plan
from msa_jax.data.masking import NO_TOKENS, Tokens, draw_missing, without
from msa_jax.data.packing import Capacity, pack
from msa_jax.errors import MethodError
from msa_jax.methods.protocol import Group, Phase
from msa_jax.train.model import Model
from msa_jax.train.optimiser import Optimiser, build_optimiser, from_optax
from msa_jax.train.report import Report
from msa_jax.train.runs import Layout
from msa_jax.train.state import Flat, TrainState
from msa_jax.train.step import Measured, gradient_step, train_step, update_step

Array = jax.Array
LATER_PHASES = 2**31  # folded into the keys of all phases but the first; no mini-batch has such a number
DROPPED = 2**31  # folded into the key of a mini-batch's samples for what they lose; it is split into fewer keys


class WindowRange(NamedTuple):
    """Windows of a plan; a window makes one update.

    start, stop: the first of them, and the one after the last. count: mini-batches of the plan that are real. first: the
    number in the epoch of the plan's first mini-batch. All int32 scalars.
    """

    start: Array
    stop: Array
    count: Array
    first: Array

    @classmethod
    def of(cls, start: int, stop: int, *, count: int, first: int = 0) -> "WindowRange":
        """The range of these numbers, as a compiled program takes them."""
        return cls(*(np.int32(number) for number in (start, stop, count, first)))


@dataclass(frozen=True)
class PhaseWalk:
    """What is fixed when the epoch of a phase is compiled.

    model: the network. phase: number and description. assigned: {path: groups} of the parameters that it trains. updates:
    parameter updates in max_epochs. planned: rows that a mini-batch's text is packed into, or None. layout: of the devices.
    tokens: ids of [UNK] and of padding.
    """

    model: Model
    phase: Phase
    number: int
    assigned: Mapping[str, Any]
    updates: int
    planned: Capacity | None
    layout: Layout
    tokens: Tokens = NO_TOKENS

    @property
    def options(self) -> Options:
        """The options of the stage."""
        return self.model.options

    @property
    def capacity(self) -> Capacity | None:
        """The rows of packed text. Mini-batches are planned alike on any devices; those that share one divide its rows."""
        return None if self.planned is None else self.planned._replace(rows=self.layout.rounded(self.planned.rows))

    def optimiser(self, options: Any) -> Optimiser:
        """The phase's optimiser; options may hold traced numbers."""
        if self.phase.optimiser is not None:
            return from_optax(self.phase.optimiser(options), self.assigned)
        groups: tuple[Group, ...] = self.model.method.groups(options)
        return build_optimiser(options, groups, self.assigned, self.updates)

    # -- one mini-batch -----------------------------------------------------------------------------------------------

    def batch(self, data: Mapping[str, Any], plan: Plan, index: Array, memory: Any, key: Array) -> dict[str, Any]:
        """Mini-batch `index` of the plan, gathered from the arrays on the device, partners included.

        key: of the draws of partners, and of what each sample loses.
        """
        rows, slots, weight = plan.rows[index], plan.slots[index], plan.weight[index]
        if self.phase.partners is not None:
            partners = self.phase.partners(memory, rows, key, self.options)
            rows = slots = jnp.concatenate([rows[:, None], partners], axis=1).reshape(-1)
            weight = jnp.repeat(weight, 1 + partners.shape[1])
        slots = self.layout.whole(slots)  # else each column gathers them from all devices again
        batch = jax.tree.map(lambda column: jnp.take(column, slots, axis=0, mode="clip"), dict(data))
        batch["row"], batch["weight"] = rows, weight
        if self.options.modality_dropout > 0 or self.options.step_dropout > 0:
            missing = draw_missing(
                batch,
                jax.random.fold_in(key, DROPPED),
                modality_rate=self.options.modality_dropout,
                step_rate=self.options.step_dropout,
                tokens=self.tokens,
                aligned=self.model.inputs.aligned,
            )
            batch = without(batch, missing, aligned=self.model.inputs.aligned)
        batch = with_packed_text(batch, plan.packing.row[index], plan.packing.offset[index], self.capacity)
        return self.layout.split_rows(batch)

    def step_key(self, state: TrainState, number: Array) -> Array:
        """The key of the step of mini-batch `number` of the epoch."""
        key = jax.random.fold_in(state.key, state.epoch)
        if self.number > 0:
            key = jax.random.fold_in(key, LATER_PHASES + self.number)
        return jax.random.fold_in(key, number)

    def measured(self, state: TrainState, frozen: Flat, data: Any, plan: Plan) -> Measured:
        """What a step measures, as shapes. The arguments only give shapes; checks all names of the objective.

        Raises:
          MethodError: a step, or the end of an epoch, turns the memory into one of other shapes or types.
        """

        def step(state: TrainState, frozen: Flat, data: Any, plan: Plan) -> tuple[Any, Measured]:
            key = self.step_key(state, jnp.int32(0))
            batch = self.batch(data, plan, jnp.int32(0), state.memory, key)
            optimiser = self.optimiser(self.options)
            _, after, measured = gradient_step(self.model, self.phase, optimiser, state, frozen, batch, key)
            return after.memory, measured

        memory, measured = jax.eval_shape(step, state, frozen, data, plan)
        self._check_memory("a step", state.memory, memory)
        ended = jax.eval_shape(lambda means, memory: self.end_epoch(means, memory, {}), measured.means, memory)
        self._check_memory("the end of an epoch", state.memory, ended)
        return measured

    def _check_memory(self, what: str, *memories: Any) -> None:
        before, after = (jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), memory) for memory in memories)
        if before != after:
            raise MethodError(f"phase {self.phase.name}: {what} turns a memory of {before} into one of {after}")

    # -- one window ---------------------------------------------------------------------------------------------------

    def window(
        self,
        number: Array,
        state: TrainState,
        report: Report,
        plan: Plan,
        values: Mapping[str, Array],
        *,
        frozen: Flat,
        data: Any,
        span: WindowRange,
    ) -> tuple[TrainState, Report]:
        """One window: the gradients of its mini-batches, and an update from them.

        values: options that differ from those of the model, by name, traced.
        """
        model, options = self.model.with_values(values), self.options
        optimiser, size = self.optimiser(model.options), options.accumulate
        begin = number * size
        end = jnp.minimum(begin + size, span.count)

        def gather(index: Array, state: TrainState) -> tuple[dict[str, Any], Array]:
            key, of_partners = jax.random.split(self.step_key(state, span.first + index))
            return self.batch(data, plan, index, state.memory, of_partners), key

        if size == 1:
            batch, key = gather(number, state)
            state, measured = train_step(model, self.phase, optimiser, state, frozen, batch, key)
            return state, report.add(measured, span.first + number, options.record_steps)

        def add_batch(index: Array, carry: tuple[Any, TrainState, Report]) -> tuple[Any, TrainState, Report]:
            total, state, report = carry
            batch, key = gather(index, state)
            gradient, state, measured = gradient_step(model, self.phase, optimiser, state, frozen, batch, key)
            report = report.add(measured, span.first + index, options.record_steps)
            return jax.tree.map(jnp.add, total, gradient), state, report

        zeros = {path: jnp.zeros_like(state.params[path]) for path in optimiser.paths}
        gradient, state, report = jax.lax.fori_loop(begin, end, add_batch, (zeros, state, report))
        if options.accumulate_reduce == "mean":
            gradient = jax.tree.map(lambda total: total / (end - begin), gradient)

        def update(state: TrainState) -> TrainState:
            return update_step(self.phase, optimiser, state, gradient)

        if options.tail == "drop":
            state = jax.lax.cond(end - begin == size, update, lambda state: state, state)
        else:
            state = update(state)
        return state, report

    # -- many windows -------------------------------------------------------------------------------------------------

    def walk(
        self,
        state: TrainState,
        frozen: Flat,
        data: Any,
        plan: Plan,
        span: WindowRange,
        report: Report,
        values: Mapping[str, Array],
    ) -> tuple[TrainState, Report]:
        """The windows of a range, of one run.

        `report` is that of the epoch's windows before, which goes on: where an epoch is cut changes no bit of its means.
        Ends at once if a loss is not finite, unless devices share mini-batches (`_walk`).
        """
        return self._walk(
            lambda *carry: self.window(*carry, plan, values, frozen=frozen, data=data, span=span), span, state, report
        )

    def walk_runs(
        self,
        states: TrainState,
        frozen: Flat,
        data: Any,
        plans: Plan,
        span: WindowRange,
        reports: Report,
        values: Mapping[str, Array],
    ) -> tuple[TrainState, Report]:
        """`walk` of R runs: states, plans, reports and values have a leading axis [R], frozen and data are shared.

        Ends early only if no run has finite losses any more.
        """

        def window(number: Array, state: TrainState, report: Report, plan: Plan, value: Any) -> Any:
            return self.window(number, state, report, plan, value, frozen=frozen, data=data, span=span)

        with self.model.exact():
            if plans.rows.shape[0] == 1:  # outside of the loop, so that nothing in it has the axis
                one = jax.tree.map(lambda leaf: leaf[0], (states, plans, reports, dict(values)))
                state, report = self.walk(one[0], frozen, data, one[1], span, one[2], one[3])
                return jax.tree.map(lambda leaf: leaf[None], (state, report))
            every = jax.vmap(window, in_axes=(None, 0, 0, 0, 0))
            return self._walk(lambda *carry: every(*carry, plans, dict(values)), span, states, reports)

    def _walk(
        self,
        window: Callable[..., tuple[TrainState, Report]],
        span: WindowRange,
        state: TrainState,
        report: Report,
    ) -> tuple[TrainState, Report]:
        """Windows one after the other, of one run or of all, as long as one of them has finite losses.

        Where devices share mini-batches all windows are walked: groups of devices with other runs exchange parts in the same
        operations, and would wait for ever for one that has ended. The report keeps the first loss that is not finite.
        """
        shared = self.options.data_devices > 1

        def goes_on(carry: tuple[Array, TrainState, Report]) -> Array:
            more = carry[0] < span.stop
            return more if shared else more & (carry[2].bad_batch < 0).any()

        _, state, report = jax.lax.while_loop(
            goes_on, lambda carry: (carry[0] + 1, *window(*carry)), (span.start, state, report)
        )
        return state, report

    def end_epoch(self, means: Mapping[str, Array], memory: Any, values: Mapping[str, Array]) -> Any:
        """The memory of one run after the phase's part of an epoch."""
        model = self.model.with_values(values)
        with model.exact():
            return self.phase.end_epoch(memory, means, model.options, model.inputs)


def with_packed_text(batch: dict[str, Any], row: Array, offset: Array, capacity: Capacity | None) -> dict[str, Any]:
    """The batch with its token ids packed into shared rows, if there are ids and a capacity."""
    if "text" in batch and "ids" in batch["text"]:
        text = batch["text"]
        mask = text["mask"] * (batch["weight"] > 0)[:, None]  # rows of padding take no tokens
        packed = capacity is not None
        batch["text"] = pack(text["ids"], mask, row, offset, capacity) if packed else {**text, "mask": mask}
    return batch
