"""One run: the epochs of one seed, through all stages, with early stopping, checkpoints and resumption."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from msa_jax import metrics
from msa_jax.config import Options
from msa_jax.data.batches import Plan, epoch_plan
from msa_jax.data.preprocess import text_lengths
from msa_jax.errors import InputError, TrainingStopped
from msa_jax.methods.protocol import Method, Stage
from msa_jax.train.checkpoint import RunCheckpoints, save_params
from msa_jax.train.folder import MetricsFile, read_json, write_arrays, write_json
from msa_jax.train.prepare import Prepared, compute_dtype, example_batch, with_pretrained
from msa_jax.train.program import Program, Report, recorded
from msa_jax.train.progress import Progress
from msa_jax.train.resident import DeviceData
from msa_jax.train.score import Scorer
from msa_jax.train.state import RunState, copy, start_stage

HELD_OUT = ("valid", "test")


@dataclass(frozen=True, kw_only=True)
class Result:
    """A finished run. scores: {split: {head: [N]}}; valid, test: metrics of `prediction`; best_epoch over all stages."""

    seed: int
    best_epoch: int
    epochs: int
    valid: dict[str, float]
    test: dict[str, float]
    scores: dict[str, dict[str, np.ndarray]]


class Runner:
    """Trains runs of one method on one dataset at one set of options; all share the compiled programs."""

    def __init__(
        self,
        method: Method,
        options: Options,
        prepared: Prepared,
        *,
        metric_kind: str,
        progress: Progress | None = None,
    ):
        self._method, self._options, self._prepared = method, options, prepared
        self._metric_kind = metric_kind
        self._progress = progress or Progress(None)
        self._lengths = text_lengths(prepared.columns["train"]) if prepared.capacity else None
        if options.tail == "drop" and self.batches < options.accumulate:
            raise InputError(
                f"option accumulate is {options.accumulate}, but an epoch has {self.batches} mini-batches and option tail "
                "drops an incomplete window: nothing would be trained"
            )
        self._stages = _stages(method, options)
        self._programs = [self._program(stage) for stage in self._stages]
        self._data = DeviceData(prepared.columns["train"], options)
        self._scorer = Scorer(self._programs[0], {name: prepared.columns[name] for name in HELD_OUT})

    @property
    def batches(self) -> int:
        """Mini-batches in an epoch."""
        return math.ceil(self._prepared.inputs.rows / self._options.batch_size)

    def _program(self, stage: Stage) -> Program:
        windows = self.batches / self._options.accumulate
        updates = math.floor(windows) if self._options.tail == "drop" else math.ceil(windows)
        return Program(
            self._method,
            self._options,
            self._prepared.inputs,
            stage=stage,
            updates=(stage.max_epochs or self._options.max_epochs) * max(updates, 1),
            capacity=self._prepared.capacity,
            dtype=compute_dtype(self._options),
        )

    def check(self) -> None:
        """Builds the network in shapes only. Raises InputError where an option does not fit, before anything is written."""
        columns = self._prepared.columns["train"]
        self._programs[0].param_shapes(example_batch(columns, min(2, len(columns["label"]))))

    # -- states -------------------------------------------------------------------------------------------------------

    def initial_state(self, seed: int) -> RunState:
        """A run before its first epoch; everything random in it comes from the seed."""
        key = jax.random.key(seed)
        program, columns = self._programs[0], self._prepared.columns["train"]
        batch = example_batch(columns, min(2, len(columns["label"])))
        # Epochs fold 1, 2, ... into the key; 0 is left for the parameters.
        params = with_pretrained(program.init_params(jax.random.fold_in(key, 0), batch), self._prepared.bert)
        labels = {name: jnp.asarray(columns[name]) for name in ("label", *self._prepared.inputs.columns)}
        memory = self._method.init_memory(self._options, self._prepared.inputs, labels)
        return start_stage(program.start(params, memory, key), stage=0, epochs=0)

    def _next_stage(self, state: RunState) -> RunState:
        number = int(state.stage) + 1
        program = self._programs[number]
        key = jax.random.fold_in(state.train.key, 2**32 - 1)  # epochs never reach this number
        train = program.start(copy(state.best_params), state.train.memory, key)
        return start_stage(train, stage=number, epochs=int(state.epochs))

    # -- one run ------------------------------------------------------------------------------------------------------

    def run(
        self,
        seed: int,
        folder: Path,
        *,
        number: int,
        metrics_file: MetricsFile,
        steps_file: MetricsFile | None,
        record: Callable[..., None] | None,
    ) -> Result:
        """Trains one seed to its end, from the newest checkpoint if there is one, and keeps its result in `folder`.

        steps_file: where options.record_steps asks for records, their file.

        Raises:
          TrainingStopped: a loss is not finite. InputError: the checkpoint is of something else.
        """
        if (folder / "result.json").is_file():
            return load_result(folder)
        checkpoints = RunCheckpoints(folder)
        state = self.initial_state(seed) if checkpoints.empty else checkpoints.restore(self._like)
        for log in (metrics_file, steps_file):
            if log is not None:
                log.rewind(number, int(state.epochs))
        try:
            while True:
                if bool(state.ended):
                    if int(state.best_epoch) == 0:
                        raise TrainingStopped(
                            f"run {seed}: {self._options.selection} on valid was not defined in any epoch of stage "
                            f"{self._stages[int(state.stage)].name}, so none can be selected; choose another --selection"
                        )
                    if int(state.stage) + 1 == len(self._stages):
                        break
                    state = self._next_stage(state)
                state = self._epoch(state, seed, number, metrics_file, steps_file)
                if record is not None:
                    record(int(state.epochs), self._method.records(state.train.memory))
                if bool(state.ended) or int(state.epochs) % self._options.checkpoint_epochs == 0:
                    checkpoints.save(state)
        finally:
            checkpoints.close()
        result = self._finish(state, seed, folder)
        checkpoints.delete()
        return result

    def _like(self, stage: int) -> RunState:
        """A state of the structure that a run has in that stage."""
        state = self.initial_state(0)
        while int(state.stage) < stage:
            state = self._next_stage(state)
        return state

    def _epoch(
        self, state: RunState, seed: int, number: int, metrics_file: MetricsFile, steps_file: MetricsFile | None
    ) -> RunState:
        begun = time.monotonic()
        options, stage = self._options, self._stages[int(state.stage)]
        program = self._programs[int(state.stage)]
        epoch = int(state.epochs) + 1
        plan = epoch_plan(
            self._prepared.inputs.rows,
            options.batch_size,
            seed=seed,
            epoch=epoch,
            lengths=self._lengths,
            capacity=self._prepared.capacity,
        )
        train, report = self._steps(program, state.train, plan, seed, epoch)
        means = {name: float(value / report.rows) for name, value in report.sums.items()}
        memory = self._method.end_epoch(train.memory, {name: jnp.float32(v) for name, v in means.items()}, options)
        train = train.replace(memory=memory, epoch=train.epoch + 1)

        scores = self._scorer(train.params, "valid")["prediction"]
        if not np.isfinite(scores).all():
            raise TrainingStopped(f"run {seed}, epoch {epoch}: the predictions on valid are not finite")
        label = self._prepared.columns["valid"]["label"]
        valid = metrics.evaluate(scores, label, kind=self._metric_kind)
        value = np.float32(selection_value(scores, label, valid, options))
        improved = bool(np.isfinite(value) and value <= np.float32(state.best_value) - options.min_delta)
        done = int(train.epoch) - 1
        first = epoch - done  # epochs of the stages before
        best_epoch = epoch if improved else int(state.best_epoch)
        since = done - max(best_epoch - first, 0)
        ended = since >= (stage.patience or options.patience) or done >= (stage.max_epochs or options.max_epochs)
        state = state.replace(
            train=train,
            best_params=copy(train.params) if improved else state.best_params,
            best_value=jnp.float32(value) if improved else state.best_value,
            best_epoch=jnp.int32(best_epoch),
            epochs=jnp.int32(epoch),
            ended=jnp.bool_(ended),
        )
        seconds = time.monotonic() - begun
        head = {"run": number, "seed": seed, "epoch": epoch}
        tail = {} if len(self._stages) == 1 else {"stage": stage.name}
        metrics_file.append({**head, "train": means, "valid": valid, "seconds": round(seconds, 3), **tail})
        if steps_file is not None:
            steps_file.append(*({**head, **record, **tail} for record in _records(report, options, epoch, len(plan))))
        self._progress.line(
            f"seed {seed}  epoch {epoch:3d}  train {means['loss']:.4f}  valid MAE {valid['MAE']:.4f}  "
            f"Corr {valid['Corr']:.4f}  {seconds:.1f} s{'  best' if improved else ''}"
        )
        return state

    def _steps(self, program: Program, train: Any, plan: Plan, seed: int, epoch: int) -> tuple[Any, Report]:
        """All mini-batches of an epoch. Returns the state and what they report, on the host."""
        report: Report | None = None
        for data, part, real, first in self._data.chunks(plan):
            windows = math.ceil(real / self._options.accumulate)
            step = max(1, windows // 20) if self._progress.wants_chunks else windows
            for start in range(0, windows, step):
                stop = min(start + step, windows)
                if report is None:
                    report = program.empty_report(train, data, part, batches=len(plan))
                train, report = program.train(
                    train, data, jax.tree.map(jnp.asarray, part), np.int32(first), np.int32(start), np.int32(stop),
                    np.int32(real), report,
                )  # fmt: skip
                report = jax.device_get(report)
                if report.bad_batch >= 0:
                    names = [name for name in report.sums if name != "loss"]
                    terms = [name for name, bad in zip(names, report.bad_terms, strict=True) if bad]
                    raise TrainingStopped(
                        f"run {seed}, epoch {epoch}, step {int(report.bad_batch) + 1} of {len(plan)}: "
                        f"loss term {', '.join(terms)} is not finite; the last checkpoint is kept"
                    )
                self._progress.bar(
                    f"seed {seed}  epoch {epoch}", min(first + stop * self._options.accumulate, len(plan)), len(plan)
                )
        return train, report

    def _finish(self, state: RunState, seed: int, folder: Path) -> Result:
        params = state.best_params
        scores = {split: self._scorer(params, split) for split in HELD_OUT}
        values = {
            split: metrics.evaluate(
                scores[split]["prediction"], self._prepared.columns[split]["label"], kind=self._metric_kind
            )
            for split in HELD_OUT
        }
        save_params(folder, params)
        arrays = {f"{split}/{head}": array for split, heads in scores.items() for head, array in heads.items()}
        write_arrays(folder / "scores.npz", arrays)
        write_arrays(
            folder / "records.npz",
            {name: np.asarray(value) for name, value in self._method.records(state.train.memory).items()},
        )
        content = {"seed": seed, "best_epoch": int(state.best_epoch), "epochs": int(state.epochs), **values}
        write_json(folder / "result.json", content)
        return Result(**content, scores=scores)


def load_result(folder: Path) -> Result:
    """The result that a finished run left in its folder."""
    content = read_json(folder / "result.json")
    scores: dict[str, dict[str, np.ndarray]] = {split: {} for split in HELD_OUT}
    with np.load(folder / "scores.npz", allow_pickle=False) as file:
        for name in file.files:
            split, head = name.split("/", 1)
            scores[split][head] = file[name]
    return Result(**content, scores=scores)


def _records(report: Report, options: Options, epoch: int, batches: int) -> list[dict[str, Any]]:
    """An epoch's lines of `steps/SEED.jsonl`.

    step: the last mini-batch of the record, counted from 1 over all epochs. steps: how many mini-batches are in it.
    train: {term: mean over their rows}.
    """
    before, lines = (epoch - 1) * batches, []
    for number, means in enumerate(recorded(report)):
        first = number * options.record_steps
        last = min(first + options.record_steps, batches)
        lines.append({"step": before + last, "steps": last - first, "train": means})
    return lines


def selection_value(prediction: np.ndarray, label: np.ndarray, valid: dict[str, float], options: Options) -> float:
    """What is minimised on valid; infinite where a metric is not defined.

    "loss" is the mean absolute error over samples, or over batches of batch_size and then over those, as MMSA has it (there
    the batches are shuffled, here they are in order).
    """
    if options.selection == "loss":
        error = np.abs(prediction.astype(np.float64) - label)
        if options.validation_mean == "batches":
            cuts = range(options.batch_size, len(error), options.batch_size)
            value = float(np.mean([part.mean() for part in np.split(error, cuts)]))
        else:
            value = float(error.mean())
    else:
        value = -valid[options.selection] if metrics.HIGHER_IS_BETTER[options.selection] else valid[options.selection]
    if options.validation_decimals is not None:
        value = round(value, options.validation_decimals)
    return value if math.isfinite(value) else math.inf


def _stages(method: Method, options: Options) -> tuple[Stage, ...]:
    """The method's stages, with the text encoder frozen where the options ask for it."""
    if options.finetune_text:
        return method.stages(options)
    text = r"^text_encoder/"
    return tuple(
        Stage(
            name=stage.name,
            frozen=text if stage.frozen is None else f"{text}|{stage.frozen}",
            max_epochs=stage.max_epochs,
            patience=stage.patience,
        )
        for stage in method.stages(options)
    )
