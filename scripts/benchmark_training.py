"""Training programs of the engine as a user's command builds them, for any method at the benchmark's shapes."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from msa_jax import config, methods
from msa_jax.data.batches import epoch_plan
from msa_jax.data.preprocess import Preprocessor
from msa_jax.encoders.bert import BertConfig
from msa_jax.methods.protocol import Inputs, SequenceInput, TextInput
from msa_jax.train.epoch import WindowRange
from msa_jax.train.experiment_dir import Run
from msa_jax.train.prepare import Prepared
from msa_jax.train.runs import use_cores
from msa_jax.train.stage_inits import StageInits
from scripts.benchmark_workload import EPOCH, Workload, make_columns

HELD_OUT = 64  # samples of valid and test, which are not measured


def columns_of(workload: Workload) -> dict[str, Any]:
    """The training columns as the engine takes them."""
    columns = make_columns(workload)
    nested: dict[str, Any] = {"label": columns["label"]}
    for text, key in (("ids", "ids"), ("text", "features")):
        if text in columns:
            nested["text"] = {key: columns[text], "mask": columns["mask"]}
    for name in ("audio", "vision"):
        if name in columns:
            nested[name] = {"features": columns[name], "length": columns[f"{name}_length"]}
    return nested


def bert_config(workload: Workload) -> BertConfig:
    """The sizes of the workload's text encoder."""
    encoder = workload.encoder
    assert encoder is not None
    return BertConfig(
        vocab_size=encoder.vocab_size,
        hidden_size=encoder.hidden_size,
        num_layers=encoder.num_layers,
        num_heads=encoder.num_heads,
        intermediate_size=encoder.intermediate_size,
        max_positions=encoder.max_positions,
    )


def options_of(name: str, workload: Workload, *, protocol: str = "paper", **changes: Any) -> Any:
    """A method's options in a protocol, with the workload's batch size."""
    method = methods.get(name)
    options = method.options()
    if protocol == "reference":
        options = config.override(options, method.reference)
    return config.override(options, {"batch_size": workload.batch_size, **changes})


# The columns are made already; only the tokenizer is asked for, and there is none.
NO_PREPROCESSING = Preprocessor(
    modalities=(), tokenizer=None, text_column=None, vocab_size=0, max_tokens=0, widths={}, statistics={}, clip=0.0
)


class Training:
    """The epoch of one phase of one stage, of some seeds side by side.

    Args:
      name: of the method. options: its options. workload: gives the shapes.
      seeds: one run each. columns: the training columns, by default those of the workload.
      stage, phase: numbers; by default the last of each.
    """

    def __init__(
        self,
        name: str,
        options: Any,
        workload: Workload,
        *,
        seeds: Sequence[int] = (1,),
        columns: Mapping[str, Any] | None = None,
        stage: int = -1,
        phase: int = -1,
    ):
        use_cores()
        self.columns = dict(columns) if columns is not None else columns_of(workload)
        inputs = inputs_of(self.columns, workload)
        few = jax.tree.map(lambda column: column[:HELD_OUT], self.columns)
        prepared = Prepared(
            inputs=inputs,
            preprocessor=NO_PREPROCESSING,
            columns={"train": self.columns, "valid": few, "test": few},
            bert=None,
        )
        self.inits = StageInits(methods.get(name), options, prepared)
        self.stage = stage % len(self.inits.stages)
        self.programs = self.inits.stages[self.stage]
        number = phase % len(self.programs.phases)
        self.phase = self.programs.phases[number]
        self.runs = [Run(number=place, seed=seed, folder=Path()) for place, seed in enumerate(seeds)]
        begun = [self.inits.initial(run) for run in self.runs]
        data = self.inits.read(self.stage, begun)
        state = self.inits.state(self.runs, self.stage, begun, epochs=np.zeros(len(seeds), np.int32)).train
        self.scorer, self.frozen = data.scorer, data.frozen.on(len(seeds))
        self.state = state.replace(epoch=np.full(len(seeds), EPOCH, np.int32))
        packed = data.lengths is not None and self.phase.walk.planned is not None
        plans = [
            epoch_plan(
                inputs.rows,
                options.batch_size,
                seed=run.seed,
                epoch=EPOCH,
                lengths=data.lengths if packed else None,
                capacity=self.phase.walk.planned if packed else None,
            )
            for run in self.runs
        ]
        self.batches = len(plans[0])
        self.arrays, self.plans, _, _ = next(iter(data.train.chunks(plans)))
        self._report = self.phase.empty_report(self.state, self.frozen, self.arrays, self.plans)

    def arguments(self, start: int, stop: int) -> dict[str, Any]:
        """The arguments of the epoch program for these windows."""
        return {
            "states": self.state,
            "frozen": self.frozen,
            "data": self.arrays,
            "plans": self.plans,
            "span": WindowRange.of(start, stop, count=self.batches),
            "reports": self._report,
            "values": {},
        }

    def walk(self, start: int, stop: int) -> None:
        """Trains these windows of the epoch. Raises RuntimeError if a loss is not finite."""
        self.state, report = self.phase.train(runs=len(self.runs), **self.arguments(start, stop))
        report = jax.device_get(report)
        jax.block_until_ready(self.state)
        if (report.bad_batch >= 0).any():
            raise RuntimeError("a loss is not finite")

    def lower(self) -> Any:
        """The epoch program, traced and lowered."""
        return self.phase.train.compiled(len(self.runs)).lower(*self.arguments(0, 1).values())


def inputs_of(columns: Mapping[str, Any], workload: Workload) -> Inputs:
    """The shapes of these columns."""
    text = None
    if "text" in columns:
        steps = columns["text"]["mask"].shape[1]
        if "ids" in columns["text"]:
            bert = bert_config(workload)
            text = TextInput(width=bert.hidden_size, steps=steps, bert=bert)
        else:
            text = TextInput(width=columns["text"]["features"].shape[-1], steps=steps)
    sequences = {
        name: SequenceInput(*columns[name]["features"].shape[1:]) for name in ("audio", "vision") if name in columns
    }
    return Inputs(text=text, **sequences, rows=workload.rows, aligned=workload.aligned)


class Compilation:
    """How long the epoch programs of a method are, and how long they take to compile from nothing."""

    def __init__(self, name: str, workload: Workload):
        self._name, self._workload = name, workload
        self._options = options_of(name, workload)

    def programs(self) -> list[tuple[str, int, int]]:
        """(name, stage, phase) of every program: METHOD, METHOD/STAGE or METHOD/STAGE/PHASE."""
        training = Training(self._name, self._options, self._workload)
        stages = training.inits.stages
        found = []
        for stage, programs in enumerate(stages):
            for phase, part in enumerate(programs.phases):
                parts = [self._name]
                parts += [programs.stage.name] if len(stages) > 1 else []
                parts += [part.phase.name] if len(programs.phases) > 1 else []
                found.append(("/".join(parts), stage, phase))
        return found

    def measure(self, stage: int, phase: int) -> dict[str, float]:
        """Lines of StableHLO; seconds of tracing, lowering and compiling together, and of the compiler alone."""
        kept = jax.config.jax_enable_compilation_cache
        jax.config.update("jax_enable_compilation_cache", False)
        try:
            training = Training(self._name, self._options, self._workload, stage=stage, phase=phase)
            begun = time.perf_counter()
            lowered = training.lower()
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
