"""Where runs and their stages begin: parameters that are pretrained or drawn, and the method's memory."""

import math
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from msa_jax.config import Options, with_values
from msa_jax.errors import InputError, MethodError
from msa_jax.layers.stack import layer_paths
from msa_jax.methods.protocol import Clock, Inputs, Method
from msa_jax.paths import user_path
from msa_jax.train.checkpoint import STAGES, RunCheckpoints, StageInit, check_stage, load_stage, other_run
from msa_jax.train.device_data import streams
from msa_jax.train.evaluate import Scorer
from msa_jax.train.experiment_dir import Run
from msa_jax.train.judge import selected_term
from msa_jax.train.model import Model, Variables
from msa_jax.train.prepare import Prepared, compute_dtype, example_batch, pretrained, special_tokens
from msa_jax.train.programs import StagePrograms, reads
from msa_jax.train.runs import Layout
from msa_jax.train.shared_parameters import SHARED, Pretrained
from msa_jax.train.stage_data import StageData, StageReader, resolve_stages, text_capacity
from msa_jax.train.state import Best, Flat, RunState, stack
from msa_jax.train.step import check_outputs, eval_step, eval_terms

Array = jax.Array

NEXT_STAGE = 2**32 - 1  # folded into a run's key at each stage; epochs never reach this number
FINE_TUNING = 1e-4  # learning rates up to this one are those at which pretrained text encoders are trained further


class StageInits:
    """The stages of an experiment: their programs, and what each run of each starts from.

    layout: of the devices. stages: the programs of every stage. shapes: of all that the network holds.
    """

    def __init__(self, method: Method, options: Options, prepared: Prepared):
        self._method, self._options, self._prepared = method, options, prepared
        self.layout = Layout(options.data_devices)
        self.layout.check()
        resolved = resolve_stages(method, options, prepared.inputs)
        dtype = compute_dtype(options)
        self._model = Model(method, options, prepared.inputs, dtype)
        self._example = self._example_batch()
        self.shapes = self._model.shapes(self._example)
        columns = prepared.columns["train"]
        self.stages = [
            StagePrograms(
                stage,
                Model(method, own, prepared.inputs, dtype),
                self.shapes,
                capacity=text_capacity(columns, own),
                layout=self.layout,
                tokens=special_tokens(prepared.preprocessor, prepared.inputs),
            )
            for stage, own in resolved
        ]
        self._reader = StageReader(prepared.columns, self.layout)
        if options.stages_from is not None and len(self.stages) == 1:
            raise InputError(
                f"option stages_from: method {method.name} trains in one stage, so it takes none from others"
            )
        self._first = len(self.stages) - 1 if options.stages_from is not None else 0
        self._draw = self._model.drawing(self._example, self.shapes, list(self._given))

    def _example_batch(self) -> dict[str, Any]:
        """A batch to take shapes from."""
        columns = self._prepared.columns["train"]
        return example_batch(columns, min(2, len(columns["label"])))

    @cached_property
    def _given(self) -> dict[str, np.ndarray]:
        """The pretrained parameters, by path."""
        return pretrained(self._prepared.bert, self._method.text_encoder, self.shapes.params)

    # -- checks, before anything is written ---------------------------------------------------------------------------

    def check(self) -> None:
        """Traces the network and the steps. Raises InputError if an option does not fit or the method breaks the protocol."""
        size = len(self._example["label"])
        variables = Variables(dict(self.shapes.params), dict(self.shapes.statistics))
        outputs = jax.eval_shape(
            lambda held, batch: self._model.apply(held.params, held.statistics, batch, train=False)[0],
            variables,
            self._example,
        )
        check_outputs(self._model, outputs, size)
        memory = jax.eval_shape(self.traced_memory, {})
        for path, leaf in jax.tree.leaves_with_path(memory):
            if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
                raise MethodError(
                    f"method {self._method.name}: its memory has a random key at {jax.tree_util.keystr(path)}; expected "
                    "arrays of numbers, such as those of jax.random.key_data"
                )
        self.stages[0].check_records(memory)
        for programs in self.stages:
            programs.check(self._prepared.columns["train"], memory, outputs)
            for phase in programs.stage.phases:
                if phase.partners and streams(self._prepared.columns["train"], programs.options):
                    raise InputError(
                        f"option resident: stage {programs.stage.name} draws partners of each sample from the whole "
                        "training split, which must lie on the device"
                    )

    def check_stages_from(self, seeds: Sequence[int]) -> None:
        """Raises InputError if `stages_from` has nothing that fits, before anything is written."""
        if self._first == 0:
            return
        like = StageInit(self.shapes, jax.eval_shape(self.traced_memory, {}))
        for seed in seeds:
            check_stage(self._taken(seed), like)

    def describe(self) -> str:
        """How many parameters there are, and how many the text encoder has of them, for people."""
        sizes = {path: math.prod(leaf.shape) for path, leaf in self.shapes.params.items()}
        text = sum(size for path, size in sizes.items() if path.startswith(f"{self._method.text_encoder}/"))
        return f"{sum(sizes.values()):,} parameters, {text:,} of them in the text encoder"

    def notes(self) -> tuple[str, ...]:
        """What the method says about these inputs, and what of the options will surprise."""
        options, inputs = self._model.options, self._model.inputs
        surprises = (*_slow_scratch(options, inputs), *_freezes_nothing(options, self.shapes.params))
        surprises = (*surprises, *_uneven([programs.options for programs in self.stages]))
        return (*surprises, *self._method.notes(options, inputs))

    def frozen_by_seed(self) -> bool:
        """Whether a text encoder that is not trained has parameters that each seed draws for itself."""
        return any(path not in self._given for programs in self.stages for path in programs.shared)

    def bytes_of_states(self, stage: int) -> int:
        """Of the text encoder's states of the training split, if it runs only once in this stage; otherwise 0."""
        return self._reader.bytes_of_states(self.stages[stage], "train")

    # -- where runs begin ---------------------------------------------------------------------------------------------

    def initial(self, run: Run) -> StageInit:
        """Where a run begins; everything random in it comes from the seed."""
        # Epochs fold 1, 2, ... into the key; 0 is left for the parameters.
        drawn, statistics = jax.tree.map(np.asarray, self._draw(jax.random.fold_in(jax.random.key(run.seed), 0)))
        params = {path: drawn[path] if path in drawn else self._given[path] for path in self.shapes.params}
        values = {name: np.float32(value) for name, value in run.values.items()}
        memory = jax.tree.map(np.asarray, self._memory(self._labels, values))
        return StageInit(Variables(params, statistics), memory)

    @cached_property
    def _labels(self) -> dict[str, Any]:
        columns = self._prepared.columns["train"]
        return {name: np.asarray(columns[name]) for name in ("label", *self._prepared.inputs.columns)}

    @cached_property
    def _memory(self) -> Any:
        return jax.jit(self._memory_of)

    def _memory_of(self, labels: Mapping[str, Any], values: Mapping[str, Any]) -> Any:
        # The last stage's options are those of the run.
        options = with_values(self.stages[-1].options, values)
        return self._method.init_memory(options, self._prepared.inputs, labels)

    def traced_memory(self, values: Mapping[str, Any]) -> Any:
        """The memory of a run with these values of options, inside of a traced function."""
        return self._memory_of({name: jnp.asarray(value) for name, value in self._labels.items()}, values)

    def reads_outside_training(self, name: str) -> bool:
        """Whether this real option is read where parameters are drawn, or where valid is scored.

        Those programs hold the options of one point; only training takes options as arguments.
        """
        programs, memory = self.stages[0], jax.eval_shape(self.traced_memory, {})
        term = selected_term(programs.options)

        def draw(value: Array, key: Array, batch: Any) -> Any:
            return programs.model.with_values({name: value}).init(key, batch)

        def score(value: Array, key: Array, held: Variables, memory: Any, clock: Clock, batch: Any) -> Any:
            model = programs.model.with_values({name: value})
            outputs = eval_step(model, held.params, held.statistics, batch, programs.heads)
            if term is None:
                return outputs
            phase = programs.stage.phases[-1]
            return outputs, eval_terms(model, phase, held.params, held.statistics, memory, clock, batch, key)

        key = jax.eval_shape(lambda: jax.random.key(0))
        clock = jax.eval_shape(lambda: Clock(jnp.int32(1), jnp.int32(0)))
        held = Variables(dict(self.shapes.params), dict(self.shapes.statistics))
        return reads(draw, key, self._example) is not False or (
            reads(score, key, held, memory, clock, self._example) is not False
        )

    def pretrained(self, run: Run) -> Pretrained:
        """What a run begins with that others begin with too, and where it is kept once for all of them."""
        return Pretrained(self._given, run.folder.parent / SHARED)

    # -- where stages begin -------------------------------------------------------------------------------------------

    def folder(self, run: Run, stage: int) -> Path:
        """Where a run keeps what a stage leaves."""
        return run.folder / STAGES / self.stages[stage].stage.name

    def left(self, best: Best, frozen: Flat, memory: Any) -> StageInit:
        """What a run leaves: its best parameters and those that were frozen, in the network's order."""
        params = {**frozen, **best.params}
        return StageInit(Variables({path: params[path] for path in self.shapes.params}, dict(best.statistics)), memory)

    def _taken(self, seed: int) -> Path:
        """The folder of what the stage before the first one left in the experiment `stages_from`."""
        experiment = user_path(str(self._options.stages_from))
        return other_run(experiment, seed) / STAGES / self.stages[self._first - 1].stage.name

    def _init(self, run: Run, stage: int, initial: StageInit) -> StageInit:
        """Where a stage of a run begins: with what the stage before left, or as the run itself, `initial`."""
        if stage == 0:
            return initial
        own = stage > self._first
        return load_stage(self.folder(run, stage - 1) if own else self._taken(run.seed), initial)

    def state(self, runs: Sequence[Run], stage: int, inits: Sequence[StageInit], *, epochs: np.ndarray) -> RunState:
        """The state of runs before the first epoch of a stage; `epochs` [R] are those of the stages before."""
        keys = []
        for run in runs:
            key = jax.random.key(run.seed)
            for _ in range(stage):
                key = jax.random.fold_in(key, NEXT_STAGE)
            keys.append(key)
        states = self.stages[stage].start(inits, keys)
        return RunState.start(self.layout.shard_runs(states, len(runs)), stage=stage, epochs=epochs)

    def read(self, stage: int, inits: Sequence[StageInit]) -> StageData:
        """What a stage of runs reads. The runs must share what is frozen."""
        programs = self.stages[stage]
        return self._reader.read(programs, inits[0].variables)

    def begin(
        self, runs: Sequence[Run], stage: int, inits: Sequence[StageInit], *, epochs: np.ndarray
    ) -> tuple[RunState, StageData]:
        """The state of runs before the first epoch of a stage, whose memory is as the stage asks, and what the stage reads."""
        data = self.read(stage, inits)
        if (asked := data.programs.stage.begin) is not None:
            columns, options = data.train.columns, data.programs.options
            scorer = Scorer(data.programs.forward, {"train": columns}, options)
            begun = []
            for init in inits:
                held = stack([Best(dict(init.variables.params), dict(init.variables.statistics))])
                found = scorer.scores(self.layout.shard_runs(held, 1), {}, "train", asked.outputs, runs=1)
                outputs = {name: values[0] for name, values in found.items()}
                memory = asked.memory(init.memory, outputs, columns, options, self._prepared.inputs)
                begun.append(init._replace(memory=jax.tree.map(np.asarray, memory)))
            inits = begun
        return self.state(runs, stage, inits, epochs=epochs), data

    def resume(self, runs: Sequence[Run], checkpoints: RunCheckpoints) -> tuple[RunState, StageData]:
        """The state that runs go on from, their newest checkpoint or their beginning, and what their stage reads."""
        initial = [self.initial(run) for run in runs]
        epochs = np.zeros(len(runs), np.int32)
        if checkpoints.empty:
            inits = [self._init(run, self._first, init) for run, init in zip(runs, initial, strict=True)]
            return self.begin(runs, self._first, inits, epochs=epochs)
        state = checkpoints.restore(lambda stage: self.state(runs, stage, initial, epochs=epochs))
        inits = [self._init(run, int(state.stage), init) for run, init in zip(runs, initial, strict=True)]
        return state, self.read(int(state.stage), inits)


def _uneven(stages: Sequence[Options]) -> tuple[str, ...]:
    """A line if the devices of a mini-batch do not divide it: it is made larger, and masks are drawn for its larger shape."""
    for options in stages:
        if options.batch_size % options.data_devices:
            return (
                f"option data_devices: {options.data_devices} devices do not divide batch_size {options.batch_size}, so some "
                "methods draw other dropout than on one device",
            )
    return ()


def _freezes_nothing(options: Options, shapes: Flat) -> tuple[str, ...]:
    """A line if the option `freeze` matches no parameter, such as one with a typing error, or layers that are not there."""
    if options.freeze is None:
        return ()
    if any(re.search(options.freeze, path) for path in layer_paths(shapes)):
        return ()
    return (f"option freeze: {options.freeze!r} matches no parameter, so nothing is frozen by it",)


def _slow_scratch(options: Options, inputs: Inputs) -> tuple[str, ...]:
    """A line if a text encoder that starts from nothing has a learning rate that suits pretrained weights."""
    rate = options.learning_rate.text
    trained = inputs.text is not None and inputs.text.bert is not None and options.finetune_text
    if options.text_encoder != "scratch" or not trained or rate > FINE_TUNING:
        return ()
    return (
        f"the text encoder starts from nothing, and learning_rate.text {rate:g} suits pretrained weights; "
        "--learning-rate.text 0.001 may learn faster",
    )
