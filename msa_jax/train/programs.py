"""The compiled programs of one stage, for any number of runs side by side."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from msa_jax.config import Options
from msa_jax.data.batches import Plan, ordered_plan
from msa_jax.data.masking import NO_TOKENS, Tokens
from msa_jax.data.packing import Capacity
from msa_jax.data.preprocess import Columns
from msa_jax.errors import InputError, MethodError
from msa_jax.methods.protocol import Phase, Stage
from msa_jax.train.epoch import PhaseWalk, WindowRange
from msa_jax.train.evaluate import Forward
from msa_jax.train.judge import selected_term
from msa_jax.train.model import Model, Variables
from msa_jax.train.optimiser import groups_of
from msa_jax.train.progress import Progress
from msa_jax.train.report import Report
from msa_jax.train.runs import RUNS, SHARED, Layout, ShardedRuns, vmap_runs
from msa_jax.train.state import Flat, TrainState, stack
from msa_jax.train.step import Measured, check_names

Array = jax.Array


def reads(function: Callable[..., Any], *arguments: Any) -> bool | None:
    """Whether a function reads its first argument, a real number; None if that decides a shape or a branch in it.

    arguments: the others, which only give shapes.
    """
    try:
        traced = jax.make_jaxpr(function)(jnp.float32(0.5), *arguments).jaxpr
    except (jax.errors.JAXTypeError, jax.errors.UnexpectedTracerError, InputError):
        return None
    except TypeError as error:
        if "Tracer" not in str(error) and "traced" not in str(error):
            raise
        return None
    used = [*traced.outvars, *(variable for equation in traced.eqns for variable in equation.invars)]
    return any(variable is traced.invars[0] for variable in used)


class PhasePrograms:
    """The compiled programs of one phase: its part of an epoch, and the end of that."""

    def __init__(self, walk: PhaseWalk, layout: Layout, batches: int):
        self.phase, self.batches, self.walk = walk.phase, batches, walk
        self._measured: Measured | None = None
        self._announced: set[int] = set()  # numbers of runs whose program has been compiled
        specs = {
            "states": RUNS, "frozen": SHARED, "data": SHARED, "plans": RUNS, "span": SHARED, "reports": RUNS, "values": RUNS
        }  # fmt: skip
        self.train = ShardedRuns(layout, walk.walk_runs, specs, donate="states")
        self.end_epoch = ShardedRuns(layout, self._end_epoch, {"means": RUNS, "memory": RUNS, "values": RUNS})

    @property
    def options(self) -> Options:
        """The options of the stage."""
        return self.walk.options

    @property
    def paths(self) -> tuple[str, ...]:
        """The parameters that the phase trains."""
        return tuple(self.walk.assigned)

    def measured(self, states: TrainState, frozen: Flat, data: Any, plans: Plan) -> Measured:
        """What a step measures, as shapes; the arguments, those of `train`, only give shapes."""
        one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), (states, plans))
        return self.measured_alone(one[0], frozen, data, one[1])

    def measured_alone(self, state: TrainState, frozen: Flat, data: Any, plan: Plan) -> Measured:
        """The same, where state and plan are those of one run."""
        if self._measured is None:
            self._measured = self.walk.measured(state, frozen, data, plan)
        return self._measured

    def empty_report(self, states: TrainState, frozen: Flat, data: Any, plans: Plan) -> Report:
        """The reports [R] before the first step of an epoch; the arguments, those of `train`, only give shapes."""
        measured = self.measured(states, frozen, data, plans)
        return Report.empty(
            measured, runs=len(plans.rows), batches=self.batches, record_steps=self.options.record_steps
        )

    def compile(self, progress: Progress, runs: int, arguments: Mapping[str, Any]) -> None:
        """Compiles `train` for arguments of these shapes, if that has not happened yet, and says so.

        The program that a later call uses is the same one, from JAX's cache.
        """
        if runs in self._announced or progress.silent:
            return
        self._announced.add(runs)
        lowered = self.train.compiled(runs).lower(*arguments.values())
        with progress.compiling(len(lowered.as_text().splitlines())):
            lowered.compile()

    def accepts_traced(self, name: str, states: TrainState, frozen: Flat, data: Any, plans: Plan, init: Any) -> bool:
        """Whether the memory's start and the training of one run can take this option as an argument, and read it.

        The others only give shapes; init: (values) -> the memory.
        """

        def train(value: Array, state: TrainState, frozen: Flat, data: Any, plan: Plan) -> Any:
            values = {name: value}
            state = state.replace(memory=init(values))
            report = jax.tree.map(lambda leaf: leaf[0], reports)
            return self.walk.walk(state, frozen, data, plan, WindowRange.of(0, 0, count=0), report, values)

        reports = self.empty_report(states, frozen, data, plans)
        one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), (states, plans))
        return reads(train, one[0], frozen, data, one[1]) is True

    def _end_epoch(self, means: Mapping[str, Array], memory: Any, values: Mapping[str, Array]) -> Any:
        return vmap_runs(self.walk.end_epoch, dict(means), memory, dict(values))


class StagePrograms:
    """The compiled programs of one stage. Runs share them: they differ in state only.

    stage, model: of it. shapes: of all that the network holds. capacity: the rows that the planner packs a mini-batch's
    text into, or None. layout: of the devices. tokens: of [UNK] and of padding. trained: the paths of the parameters that any
    phase trains. encodes_once: whether the text encoder gives every token the same state in every step, so that it needs to
    run only once.
    """

    def __init__(
        self,
        stage: Stage,
        model: Model,
        shapes: Variables,
        *,
        capacity: Capacity | None,
        layout: Layout,
        tokens: Tokens = NO_TOKENS,
    ):
        self.stage, self.shapes, self.layout = stage, shapes, layout
        self.capacity, self._tokens = capacity, tokens
        groups, sizes = model.method.groups(model.options), {path: leaf.shape for path, leaf in shapes.params.items()}
        found = [groups_of(sizes, groups, phase) for phase in stage.phases]
        assigned = [{path: names for path, names in one.items() if set(names) != {None}} for one in found]
        self.trained = frozenset(path for paths in assigned for path in paths)
        self.encodes_once = self._encodes_once(model)
        # Its states may have no room, and then it runs in every step; that must not decide whether it drops anything.
        self.model = model.with_still_text() if self.encodes_once else model
        self.phases = tuple(
            self._phase(number, *one) for number, one in enumerate(zip(stage.phases, assigned, strict=True))
        )
        self.forward = Forward(self.model, layout)

    def _encodes_once(self, model: Model) -> bool:
        options, text, module = model.options, model.inputs.text, model.method.text_encoder
        if not options.encode_once or text is None or text.bert is None or module is None:
            return False
        if model.method.adapts_text(options) or options.modality_dropout > 0 or options.step_dropout > 0:
            return False  # it reads other embeddings or tokens in every step
        inside = {path for path in self.shapes.params if path.startswith(f"{module}/")}
        return bool(inside) and not inside & self.trained

    def _phase(self, number: int, phase: Phase, assigned: Mapping[str, Any]) -> PhasePrograms:
        options = self.model.options
        every = math.ceil(self.model.inputs.rows / options.batch_size)
        batches = math.ceil(phase.share * every - 1e-6)  # until that share is reached
        if options.tail == "drop" and batches < options.accumulate:
            raise InputError(
                f"option accumulate is {options.accumulate}, but an epoch has {batches} mini-batches and option tail "
                "drops an incomplete window: nothing would be trained"
            )
        windows = batches / options.accumulate
        updates = math.floor(windows) if options.tail == "drop" else math.ceil(windows)
        walk = PhaseWalk(
            model=self.model,
            phase=phase,
            number=number,
            assigned=assigned,
            updates=options.max_epochs * max(updates, 1),
            # The samples that a phase adds to a mini-batch are not known when it is planned.
            planned=None if phase.partners else self.capacity,
            layout=self.layout,
            tokens=self._tokens,
        )
        return PhasePrograms(walk, self.layout, batches)

    @property
    def options(self) -> Options:
        """The options of the stage."""
        return self.model.options

    @property
    def heads(self) -> tuple[str, ...]:
        """The scores that the network gives."""
        return self.model.method.head_names(self.model.options, self.model.inputs)

    @cached_property
    def shared(self) -> tuple[str, ...]:
        """The paths of the parameters that runs side by side share: those of a text encoder that no phase trains.

        Other parameters that stay what they are belong to the state of a run, since each run has drawn its own.
        """
        module = f"{self.model.method.text_encoder}/"
        return tuple(path for path in self.shapes.params if path.startswith(module) and path not in self.trained)

    def frozen(self, params: Flat) -> dict[str, Any]:
        """The parameters that runs side by side share, of all."""
        return {path: params[path] for path in self.shared}

    def start(self, inits: Sequence[Any], keys: Sequence[Array]) -> TrainState:
        """The states [R, ...] before the first epoch, on the host; inits: what each run's stage starts from."""
        carried = [path for path in self.shapes.params if path not in self.shared]
        states = []
        for init, key in zip(inits, keys, strict=True):
            params = {path: init.variables.params[path] for path in carried}
            states.append(
                TrainState(
                    params=params,
                    statistics=dict(init.variables.statistics),
                    optimiser={phase.phase.name: self._moments(phase, params) for phase in self.phases},
                    memory=init.memory,
                    key=key,
                    epoch=np.int32(1),
                    updates={phase.phase.name: np.int32(0) for phase in self.phases},
                    rate=np.float32(1),
                )
            )
        return stack(states)

    def _moments(self, phase: PhasePrograms, params: Flat) -> Any:
        if phase.phase.optimiser is not None:  # which may begin with the parameters themselves
            optimiser = phase.walk.optimiser(self.model.options)
            return jax.device_get(jax.jit(optimiser.init)({path: params[path] for path in phase.paths}))
        # Everything that Adam begins with is 0; zeros of the host need no program.
        return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), self._moment_shapes(phase, params))

    def _moment_shapes(self, phase: PhasePrograms, params: Flat) -> Any:
        optimiser = phase.walk.optimiser(self.model.options)
        return jax.eval_shape(optimiser.init, {path: params[path] for path in phase.paths})

    def check(self, columns: Columns, memory: Any, outputs: Mapping[str, Any]) -> None:
        """Traces a step of every phase, on shapes alone.

        Args:
          columns: the training arrays. memory: as shapes. outputs: of the network.

        Raises:
          MethodError: a phase breaks the protocol, or the stage selects by something that is not there.
        """
        carried = {path: shape for path, shape in self.shapes.params.items() if path not in self.shared}
        whole, real = (jax.ShapeDtypeStruct((), dtype) for dtype in (np.int32, np.float32))
        state = TrainState(
            params=carried,
            statistics=dict(self.shapes.statistics),
            optimiser={phase.phase.name: self._moment_shapes(phase, carried) for phase in self.phases},
            memory=memory,
            key=jax.eval_shape(lambda: jax.random.key(0)),
            epoch=whole,
            updates={phase.phase.name: whole for phase in self.phases},
            rate=real,
        )
        size = self.options.batch_size
        plan = ordered_plan(np.arange(size) % self.model.inputs.rows, size).widened(self.layout.rounded(size))
        frozen = self.frozen(self.shapes.params)
        measured = [phase.measured_alone(state, frozen, columns, plan) for phase in self.phases]
        owner, select = f"stage {self.stage.name}", self.stage.select
        term = selected_term(self.options)
        if term is not None:
            check_names(owner, "a loss term to select by", [term], measured[-1].means)
        check_names(owner, "a head to select by", [select.head], outputs)
        if self.stage.begin is not None:
            check_names(owner, "an output to begin with", self.stage.begin.outputs, outputs)
        labels = dict.fromkeys(("label", *self.model.inputs.columns))
        check_names(owner, "a label to select by", [select.label], labels)

    def check_records(self, memory: Any) -> None:
        """Raises MethodError if one of the method's records is not a value for each training sample."""
        records = jax.eval_shape(self.model.method.records, memory)
        rows = self.model.inputs.rows
        for name, leaf in records.items():
            if leaf.shape != (rows,):
                raise MethodError(
                    f"method {self.model.method.name}: record {name} has shape {leaf.shape}; expected [N], ({rows},)"
                )
