"""The compiled programs of training: many steps of an epoch in one, and the forward pass of a batch; of one run or several.

rows -> gather from the arrays on the device -> network -> named outputs -> objective (named terms and the new memory) ->
weighted, masked mean -> gradients -> parameters. Between two steps there is no Python.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import optax

from msa_jax.config import Options, with_values
from msa_jax.data.batches import Plan
from msa_jax.data.packing import Capacity, pack
from msa_jax.encoders.bert import BertConfig
from msa_jax.encoders.text import states_as_features
from msa_jax.errors import InputError
from msa_jax.methods.protocol import Clock, Inputs, Method, Stage
from msa_jax.train.epoch_report import Report, extend
from msa_jax.train.mesh import ONE, RUNS, SHARED, Layout, OverRuns, each_run
from msa_jax.train.optimiser import assign_groups, build_optimiser
from msa_jax.train.state import TrainState

Array = jax.Array


class Span(NamedTuple):
    """Windows of a plan; a window makes one update.

    start, stop: the first of them, and the one after the last. count: batches of the plan that are real. first: the number
    in the epoch of the plan's first batch.
    """

    start: Array
    stop: Array
    count: Array
    first: Array

    @classmethod
    def of(cls, start: int, stop: int, *, count: int, first: int = 0) -> "Span":
        """Of numbers, as a compiled program takes them."""
        return cls(*(np.int32(number) for number in (start, stop, count, first)))


class Program:
    """The programs of one method at one set of options and shapes, for one stage. Runs share it: they differ in state only."""

    def __init__(
        self,
        method: Method,
        options: Options,
        inputs: Inputs,
        *,
        stage: Stage,
        updates: int,
        capacity: Capacity | None,
        dtype: jnp.dtype,
        layout: Layout = ONE,
    ):
        self.layout = layout
        self.method, self.options, self.inputs, self.stage = method, options, inputs, stage
        self.capacity, self.updates, self.dtype = capacity, updates, dtype
        # Mini-batches are planned for `capacity`, the same on any devices; those that share one divide its rows.
        self._packed = None if capacity is None else capacity._replace(rows=layout.rounded(capacity.rows))
        self.network = method.network(options, inputs, dtype)
        self._names: tuple[str, ...] | None = None
        # The state is donated: its buffers become the new state's.
        self.train = jax.jit(self._train, donate_argnums=0)
        specs = (RUNS, SHARED, SHARED, RUNS, SHARED, RUNS, RUNS)
        self.train_runs = OverRuns(layout, self._train_runs, specs, donate=True)
        self.end_epoch = OverRuns(layout, self._end_epoch, (RUNS, RUNS, RUNS))
        self.forward = jax.jit(self._forward, static_argnames=("capacity", "names"))
        self.forward_runs = OverRuns(layout, self._forward_runs, (RUNS, *[SHARED] * 4))
        self.text_states = jax.jit(self._text_states, static_argnames="capacity")
        self._init = jax.jit(partial(self.network.init, train=False))  # traced once, for shapes and for values
        self._begin = jax.jit(self._begin_optimiser)
        self._memory = jax.jit(self._init_memory)
        # Run once a seed: the seconds that an optimising compiler would take are never won back.
        self._draw = jax.jit(
            self._draw_params, static_argnames="paths", compiler_options={"xla_backend_optimization_level": 0}
        )

    # -- parameters ---------------------------------------------------------------------------------------------------

    def init_params(self, key: Array, batch: Mapping[str, Any], given: Any = None) -> Any:
        """The parameters to begin with; `batch` only gives shapes.

        given: a part of their tree, such as a pretrained encoder. The others are drawn, each from the key and its place.
        """
        known = flax.traverse_util.flatten_dict(given or {}, sep="/")
        paths = flax.traverse_util.flatten_dict(self.param_shapes(batch), sep="/")
        drawn = self._draw(key, batch, paths=tuple(path for path in paths if path not in known))
        return merge(drawn, given or {})

    def param_shapes(self, batch: Mapping[str, Any]) -> Any:
        """The parameters as shapes and dtypes alone."""
        return jax.eval_shape(self._init, {"params": jax.random.key(0)}, batch)["params"]

    def _draw_params(self, key: Array, batch: Mapping[str, Any], paths: Sequence[str]) -> Any:
        drawn = flax.traverse_util.flatten_dict(self._init({"params": key}, batch)["params"], sep="/")
        return flax.traverse_util.unflatten_dict({path: drawn[path] for path in paths}, sep="/")

    def split(self, params: Any) -> tuple[Any, Any]:
        """The parameters that the stage trains, and those that it freezes: two trees that have no leaf in common."""
        flat, groups = flax.traverse_util.flatten_dict(params, sep="/"), self._groups(params)
        parts = ({path: value for path, value in flat.items() if (groups[path] is None) == frozen} for frozen in (0, 1))
        trained, frozen = (flax.traverse_util.unflatten_dict(part, sep="/") for part in parts)
        return trained, frozen

    def freezes(self, params: Any, module: str) -> bool:
        """Whether there is such a module at the top of the network, and the stage trains nothing in it."""
        groups = [group for path, group in self._groups(params).items() if path.startswith(f"{module}/")]
        return bool(groups) and set(groups) == {None}

    def start(self, trained: Any, memory: Any, key: Array) -> TrainState:
        """The state before the first epoch of the stage; `trained` is of `split`."""
        return TrainState(
            params=trained,
            optimiser=self._begin(trained),
            memory=memory,
            key=key,
            epoch=jnp.int32(1),
            updates=jnp.int32(0),
        )

    def _begin_optimiser(self, trained: Any) -> Any:
        return self._optimiser(trained, self.options).init(flax.traverse_util.flatten_dict(trained, sep="/"))

    def _groups(self, params: Any) -> dict[str, str | None]:
        paths = list(flax.traverse_util.flatten_dict(params, sep="/"))
        return assign_groups(paths, self.method.groups(self.options), self.stage)

    def _optimiser(self, params: Any, options: Options) -> optax.GradientTransformation:
        return build_optimiser(options, self.method.groups(options), self._groups(params), self.updates)

    def init_memory(self, columns: Mapping[str, Any], values: Mapping[str, Any]) -> Any:
        """The method's memory before the first epoch, from the labels of all rows; `values` as those of `train`."""
        return self._memory(self._labels(columns), values)

    def _init_memory(self, labels: Mapping[str, Array], values: Mapping[str, Array]) -> Any:
        return self.method.init_memory(with_values(self.options, values), self.inputs, labels)

    def _labels(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        return {name: columns[name] for name in ("label", *self.inputs.columns)}

    # -- one batch ----------------------------------------------------------------------------------------------------

    def _batch(self, data: Mapping[str, Any], plan: Plan, index: Array, memory: Any, key: Array) -> dict[str, Any]:
        """Batch `index` of the plan, gathered from the arrays on the device, partners included."""
        rows, slots, weight = plan.rows[index], plan.slots[index], plan.weight[index]
        if self.stage.partners is not None:
            partners = self.stage.partners(memory, rows, key, self.options)
            rows = slots = jnp.concatenate([rows[:, None], partners], axis=1).reshape(-1)
            weight = jnp.repeat(weight, 1 + partners.shape[1])
        batch = jax.tree.map(lambda column: column[slots], dict(data))
        batch["row"], batch["weight"] = rows, weight
        batch = _with_packed_text(batch, plan.packing.row[index], plan.packing.offset[index], self._packed)
        return self.layout.split_rows(batch)

    def _loss(
        self,
        trained: Mapping[str, Array],
        frozen: Mapping[str, Array],
        state: TrainState,
        batch: Any,
        key: Array,
        options: Options,
        network: nn.Module,
    ) -> tuple[Array, tuple[Any, dict[str, Array]]]:
        params = flax.traverse_util.unflatten_dict({**trained, **frozen}, sep="/")
        outputs = network.apply({"params": params}, batch, train=True, rngs={"dropout": key})
        clock = Clock(epoch=state.epoch, step=state.updates)
        objective = self.stage.objective or self.method.objective
        terms, memory = objective(outputs, batch, state.memory, clock, options, self.inputs)
        weights = self.method.weights(options, state.memory)
        means = {name: _weighted_mean(term, batch["weight"]) for name, term in terms.items()}
        loss = sum((weights.get(name, 1.0) * mean for name, mean in means.items()), jnp.float32(0))
        return loss, (memory, {**means, "loss": loss})

    def _window(
        self,
        number: Array,
        state: TrainState,
        report: Report,
        plan: Plan,
        values: Mapping[str, Array],
        *,
        frozen: Mapping[str, Array],
        data: Any,
        span: Span,
    ) -> tuple[TrainState, Report]:
        """One window of one run: the gradients of its batches, and an update from them."""
        options = with_values(self.options, values)
        network = self.method.network(options, self.inputs, self.dtype) if values else self.network
        optimiser = self._optimiser(state.params, options)
        names = tuple(name for name in report.sums if name != "loss")
        trained = flax.traverse_util.flatten_dict(state.params, sep="/")
        begin = number * options.accumulate
        end = jnp.minimum(begin + options.accumulate, span.count)

        def add_batch(index: Array, carry: tuple[Any, Any, Report]) -> tuple[Any, Any, Report]:
            memory, gradient, report = carry
            key = jax.random.fold_in(jax.random.fold_in(state.key, state.epoch), span.first + index)
            batch = self._batch(data, plan, index, memory, key)
            (_, (memory, means)), new = jax.value_and_grad(self._loss, has_aux=True)(
                trained, frozen, state.replace(memory=memory), batch, key, options, network
            )
            gradient = new if gradient is None else jax.tree.map(jnp.add, gradient, new)
            report = extend(report, names, means, batch["weight"].sum(), span.first + index, options.record_steps)
            return memory, gradient, report

        if options.accumulate == 1:
            memory, gradient, report = add_batch(number, (state.memory, None, report))
        else:
            zeros = jax.tree.map(jnp.zeros_like, trained)
            memory, gradient, report = jax.lax.fori_loop(begin, end, add_batch, (state.memory, zeros, report))
            if options.accumulate_reduce == "mean":
                gradient = jax.tree.map(lambda g: g / (end - begin), gradient)

        def update() -> tuple[Any, Any, Array]:
            changes, moments = optimiser.update(gradient, state.optimiser, trained)
            return optax.apply_updates(trained, changes), moments, state.updates + 1

        def keep() -> tuple[Any, Any, Array]:
            return trained, state.optimiser, state.updates

        whole = end - begin == options.accumulate
        droppable = options.accumulate > 1 and options.tail == "drop"
        changed, moments, updates = jax.lax.cond(whole, update, keep) if droppable else update()
        params = flax.traverse_util.unflatten_dict(changed, sep="/")
        return state.replace(params=params, optimiser=moments, memory=memory, updates=updates), report

    # -- many batches -------------------------------------------------------------------------------------------------

    def empty_report(
        self, state: TrainState, frozen: Any, data: Any, plan: Plan, *, batches: int | None = None
    ) -> Report:
        """Before the first step of an epoch. The arguments, those of `train`, only give names and shapes.

        batches: of the epoch; by default those of the plan.
        """
        if self._names is None:
            self._names = self._term_names(state, frozen, data, plan)
        every, batches = self.options.record_steps, plan.rows.shape[0] if batches is None else batches
        return Report(
            sums={name: jnp.float32(0) for name in (*self._names, "loss")},
            rows=jnp.float32(0),
            bad_batch=jnp.int32(-1),
            bad_terms=jnp.zeros(len(self._names), bool),
            records=jnp.zeros((math.ceil(batches / every), len(self._names) + 2), jnp.float32) if every else None,
        )

    def empty_reports(self, states: TrainState, frozen: Any, data: Any, plans: Plan, *, batches: int) -> Report:
        """`empty_report` of each of R runs, [R, ...]; states and plans are those of `train_runs`."""
        state, plan = (
            jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), of) for of in (states, plans)
        )
        report, runs = self.empty_report(state, frozen, data, plan, batches=batches), len(plans.rows)
        return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (runs, *leaf.shape)), report)

    def _train(
        self,
        state: TrainState,
        frozen: Any,
        data: Any,
        plan: Plan,
        span: Span,
        report: Report | None = None,
        values: Mapping[str, Array] | None = None,
    ) -> tuple[TrainState, Report]:
        """The windows of a span.

        `report` is that of the epoch's windows before, which goes on: where an epoch is cut changes no bit of its means.
        `values` are options that differ from the program's, by name. Ends at once where a loss is not finite.
        """
        report = self.empty_report(state, frozen, data, plan) if report is None else report
        window = self._windows(frozen, data, span)
        return _walk(partial(window, plan=plan, values=values or {}), span, state, report)

    def _train_runs(
        self,
        states: TrainState,
        frozen: Any,
        data: Any,
        plans: Plan,
        span: Span,
        reports: Report,
        values: Mapping[str, Array],
    ) -> tuple[TrainState, Report]:
        """`train` of R runs at once: states, plans, reports and values have a leading axis [R], each run its own.

        Frozen parameters and data are the same for all. Ends early only where no run has finite losses any more.
        """
        if plans.rows.shape[0] == 1:  # outside of the loop, so that nothing in it has the axis

            def alone(state: TrainState, plan: Plan, report: Report, value: Mapping[str, Array]) -> Any:
                return self._train(state, frozen, data, plan, span, report, value)

            return each_run(alone, states, plans, reports, dict(values))
        every = jax.vmap(self._windows(frozen, data, span), in_axes=(None, 0, 0, 0, 0))
        return _walk(lambda *carry: every(*carry, plans, dict(values)), span, states, reports)

    def _windows(self, frozen: Any, data: Any, span: Span) -> Callable[..., tuple[TrainState, Report]]:
        still = flax.traverse_util.flatten_dict(frozen, sep="/")
        return partial(self._window, frozen=still, data=data, span=span)

    def _end_epoch(self, means: Mapping[str, Array], memories: Any, values: Mapping[str, Array]) -> Any:
        """The method's `end_epoch` of R runs, [R, ...] each."""

        def one(means: Mapping[str, Array], memory: Any, values: Mapping[str, Array]) -> Any:
            return self.method.end_epoch(memory, means, with_values(self.options, values))

        return each_run(one, dict(means), memories, dict(values))

    def _term_names(self, state: TrainState, frozen: Any, data: Any, plan: Plan) -> tuple[str, ...]:
        # They do not depend on how deep BERT is, and a shallow one is traced in about half the time.
        network = self.method.network(self.options, _shallow(self.inputs), self.dtype)

        def terms(state: TrainState, frozen: Any, data: Any, plan: Plan) -> dict[str, Array]:
            trained, still = (flax.traverse_util.flatten_dict(part, sep="/") for part in (state.params, frozen))
            batch = self._batch(data, plan, jnp.int32(0), state.memory, state.key)
            return self._loss(trained, still, state, batch, state.key, self.options, network)[1][1]

        return tuple(name for name in jax.eval_shape(terms, state, frozen, data, plan) if name != "loss")

    def takes(self, name: str, state: TrainState, frozen: Any, data: Any, plan: Plan) -> bool:
        """Whether `init_memory` and `train` can take the value of this option as an argument, and one of them reads it.

        The others only give shapes.
        """

        def step(value: Array, state: TrainState, frozen: Any, data: Any, plan: Plan) -> Any:
            values = {name: value}
            state = state.replace(memory=self._init_memory(self._labels(data), values))
            return self._train(state, frozen, data, plan, Span.of(0, 0, count=0), None, values)

        try:
            traced = jax.make_jaxpr(step)(jnp.float32(0.5), state, frozen, data, plan)
        except (jax.errors.JAXTypeError, TypeError, InputError):  # it decides a shape or a branch
            return False
        value = traced.jaxpr.invars[0]
        return any(value is variable for equation in traced.jaxpr.eqns for variable in equation.invars)

    # -- evaluation ---------------------------------------------------------------------------------------------------

    def _forward(
        self,
        params: Any,
        batch: Mapping[str, Any],
        row: Array,
        offset: Array,
        capacity: Capacity | None,
        names: tuple[str, ...],
    ) -> dict[str, Array]:
        """Those of the named outputs that there are, [B] or [B, d], of a batch, without dropout."""
        batch = self.layout.split_rows(_with_packed_text(dict(batch), row, offset, capacity))
        outputs = self.network.apply({"params": params}, batch, train=False)
        return {name: outputs[name] for name in names if name in outputs}

    def _forward_runs(
        self,
        trained: Any,
        frozen: Any,
        batch: Mapping[str, Any],
        row: Array,
        offset: Array,
        capacity: Capacity | None,
        names: tuple[str, ...],
    ) -> dict[str, Array]:
        """`forward` of R runs on the same batch, [R, B] or [R, B, d]; trained: [R, ...], frozen: the same for all."""

        def one(trained: Any) -> dict[str, Array]:
            return self._forward(merge(trained, frozen), batch, row, offset, capacity, names)

        return each_run(one, trained)

    def _text_states(
        self, params: Any, batch: Mapping[str, Any], row: Array, offset: Array, capacity: Capacity | None
    ) -> dict[str, Array]:
        """What the text encoder gives for a batch, without dropout, in the form in which it takes it instead of tokens."""

        def is_text(module: nn.Module, function: str) -> bool:
            return module.path == ("text_encoder",) and function == "__call__"

        batch = _with_packed_text(dict(batch), row, offset, capacity)
        _, seen = self.network.apply({"params": params}, batch, train=False, capture_intermediates=is_text)
        return states_as_features(seen["intermediates"]["text_encoder"]["__call__"][0])


def _walk(
    window: Callable[..., tuple[TrainState, Report]], span: Span, state: TrainState, report: Report
) -> tuple[TrainState, Report]:
    """The windows of a span one after the other, of one run or of all, as long as one of them has finite losses.

    window: takes its number, the state and the report.
    """
    _, state, report = jax.lax.while_loop(
        lambda carry: (carry[0] < span.stop) & (carry[2].bad_batch < 0).any(),
        lambda carry: (carry[0] + 1, *window(*carry)),
        (span.start, state, report),
    )
    return state, report


def _shallow(inputs: Inputs) -> Inputs:
    """With a single layer of BERT, where there is one."""
    text = inputs.text
    return replace(inputs, text=replace(text, num_layers=1)) if isinstance(text, BertConfig) else inputs


def merge(trained: Any, frozen: Any) -> Any:
    """The network's parameters, of two parts such as `Program.split` gives."""
    flat = (flax.traverse_util.flatten_dict(part, sep="/") for part in (trained, frozen))
    return flax.traverse_util.unflatten_dict({path: value for part in flat for path, value in part.items()}, sep="/")


def _weighted_mean(term: Array, weight: Array) -> Array:
    """Mean over the rows that count of a term [B]; a term that is already a statistic of the batch stays."""
    return term if term.ndim == 0 else (term * weight).sum() / jnp.maximum(weight.sum(), 1.0)


def _with_packed_text(batch: dict[str, Any], row: Array, offset: Array, capacity: Capacity | None) -> dict[str, Any]:
    if "text" in batch and "ids" in batch["text"]:
        text = batch["text"]
        mask = text["mask"] * (batch["weight"] > 0)[:, None]  # rows of padding take no tokens
        packed = capacity is not None
        batch["text"] = pack(text["ids"], mask, row, offset, capacity) if packed else {**text, "mask": mask}
    return batch
