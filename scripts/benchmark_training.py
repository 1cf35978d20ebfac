"""Training programs of the engine as a user's command builds them, for any method at the benchmark's shapes."""

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
from msa_jax.modalities import UNIMODAL_LABELS
from msa_jax.train.epoch import WindowRange
from msa_jax.train.experiment_dir import Run
from msa_jax.train.prepare import UNKNOWN, Prepared
from msa_jax.train.runs import use_cores
from msa_jax.train.stage_inits import StageInits
from scripts.benchmark_workload import EPOCH, Workload, make_columns

HELD_OUT = 64  # samples of valid and test, which are not measured


def columns_of(workload: Workload) -> dict[str, Any]:
    """The training columns as the engine takes them.

    The human labels of each modality are the multimodal ones: some methods train on them, and what they say costs nothing.
    """
    columns = make_columns(workload)
    nested: dict[str, Any] = dict.fromkeys(("label", *UNIMODAL_LABELS), columns["label"])
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
      stage, phase: numbers, of a stage also its name; by default the last of each.
    """

    def __init__(
        self,
        name: str,
        options: Any,
        workload: Workload,
        *,
        seeds: Sequence[int] = (1,),
        columns: Mapping[str, Any] | None = None,
        stage: int | str = -1,
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
        names = [programs.stage.name for programs in self.inits.stages]
        self.stage = names.index(stage) if isinstance(stage, str) else stage % len(names)
        self.programs = self.inits.stages[self.stage]
        number = phase % len(self.programs.phases)
        self.phase = self.programs.phases[number]
        self.runs = [Run(number=place, seed=seed, folder=Path()) for place, seed in enumerate(seeds)]
        begun = [self.inits.initial(run) for run in self.runs]
        data = self.inits.read(self.stage, begun)
        state = self.inits.state(self.runs, self.stage, begun, epochs=np.zeros(len(seeds), np.int32)).train
        self.scorer, self.frozen = data.scorer, data.frozen.on(len(seeds))
        # On the devices like the rest: an array of the host would make the first walk a program of its own.
        epoch = self.inits.layout.shard_runs(np.full(len(seeds), EPOCH, np.int32), len(seeds))
        self.state = state.replace(epoch=epoch)
        packed = data.lengths is not None and self.phase.walk.planned is not None
        plans = [
            epoch_plan(
                inputs.rows,
                self.programs.options.batch_size,
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
            unknown = UNKNOWN if bert.vocab_size > UNKNOWN else None
            text = TextInput(width=bert.hidden_size, steps=steps, bert=bert, unknown=unknown)
        else:
            text = TextInput(width=columns["text"]["features"].shape[-1], steps=steps)
    sequences = {
        name: SequenceInput(*columns[name]["features"].shape[1:]) for name in ("audio", "vision") if name in columns
    }
    labels = tuple(name for name in UNIMODAL_LABELS if name in columns)
    return Inputs(text=text, **sequences, rows=workload.rows, columns=labels, aligned=workload.aligned)
