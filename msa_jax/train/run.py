"""One run: the epochs of one seed, through all stages, with early stopping, checkpoints and resumption."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from msa_jax import metrics
from msa_jax.config import Options
from msa_jax.data.batches import Plan, epoch_plan
from msa_jax.errors import InputError, TrainingStopped
from msa_jax.methods.protocol import Method, Stage
from msa_jax.train.checkpoint import RunCheckpoints, load_params, save_params
from msa_jax.train.folder import MetricsFile, read_json, write_arrays, write_json
from msa_jax.train.prepare import Prepared, compute_dtype, example_batch, with_pretrained
from msa_jax.train.program import Program, Report, merge, recorded
from msa_jax.train.progress import Progress
from msa_jax.train.resident import streams
from msa_jax.train.stages import HELD_OUT, StageData, StageReader, resolve_stages, text_capacity
from msa_jax.train.state import RunState, copy, start_stage

STAGE_EPOCHS = 2**20  # more than any stage has


class Beginning(NamedTuple):
    """What a stage of a run starts from: all parameters of the network, and the method's memory."""

    params: Any
    memory: Any


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
        self._programs = [self._program(*stage) for stage in resolve_stages(method, options, prepared.inputs)]
        self._reader = StageReader(prepared.columns)
        self._first = len(self._programs) - 1 if options.stages_from is not None else 0

    def _batches(self, options: Options) -> int:
        """Mini-batches in an epoch."""
        return math.ceil(self._prepared.inputs.rows / options.batch_size)

    def _program(self, stage: Stage, options: Options) -> Program:
        batches = self._batches(options)
        if options.tail == "drop" and batches < options.accumulate:
            raise InputError(
                f"option accumulate is {options.accumulate}, but an epoch has {batches} mini-batches and option tail "
                "drops an incomplete window: nothing would be trained"
            )
        windows = batches / options.accumulate
        updates = math.floor(windows) if options.tail == "drop" else math.ceil(windows)
        return Program(
            self._method,
            options,
            self._prepared.inputs,
            stage=stage,
            updates=options.max_epochs * max(updates, 1),
            # The rows that a stage adds to a mini-batch are not known when it is planned.
            capacity=None if stage.partners else text_capacity(self._prepared.columns["train"], options),
            dtype=compute_dtype(options),
        )

    def check(self) -> None:
        """Builds the network in shapes only. Raises InputError where an option does not fit, before anything is written."""
        columns = self._prepared.columns["train"]
        self._programs[0].param_shapes(example_batch(columns, min(2, len(columns["label"]))))
        for program in self._programs:
            if program.stage.partners and streams(columns, program.options):
                raise InputError(
                    f"option resident: stage {program.stage.name} draws partners of each row from the whole training "
                    "split, which must lie on the device"
                )

    # -- where a run and its stages begin -----------------------------------------------------------------------------

    def initial(self, seed: int) -> Beginning:
        """Where a run begins; everything random in it comes from the seed."""
        key = jax.random.key(seed)
        columns = self._prepared.columns["train"]
        batch = example_batch(columns, min(2, len(columns["label"])))
        # Epochs fold 1, 2, ... into the key; 0 is left for the parameters.
        params = with_pretrained(self._programs[0].init_params(jax.random.fold_in(key, 0), batch), self._prepared.bert)
        labels = {name: jnp.asarray(columns[name]) for name in ("label", *self._prepared.inputs.columns)}
        return Beginning(params, self._method.init_memory(self._options, self._prepared.inputs, labels))

    def _beginning(self, folder: Path, stage: int, seed: int, initial: Beginning) -> Beginning:
        """Where a stage of a run begins: with what the stage before left, or as the run itself, `initial`."""
        if stage == 0:
            return initial
        if stage == self._first:
            folder = _other_run(Path(self._options.stages_from), seed)
        return _read_beginning(folder / "stages" / self._programs[stage - 1].stage.name, initial)

    def _state(self, seed: int, stage: int, begin: Beginning, *, epochs: int) -> RunState:
        """The state of a run before the first epoch of a stage; `epochs` are those of the stages before."""
        key = jax.random.key(seed)
        for _ in range(stage):
            key = jax.random.fold_in(key, 2**32 - 1)  # epochs never reach this number
        program = self._programs[stage]
        # The state's buffers are donated step by step, and those of the beginning may be read again.
        trained, memory = copy((program.split(begin.params)[0], begin.memory))
        return start_stage(program.start(trained, memory, key), stage=stage, epochs=epochs)

    def _first_state(self, seed: int, folder: Path, checkpoints: RunCheckpoints) -> tuple[RunState, StageData]:
        """The state that a run goes on from, its newest checkpoint or its beginning, and what its stage reads."""
        initial = self.initial(seed)
        if checkpoints.empty:
            begin = self._beginning(folder, self._first, seed, initial)
            state = self._state(seed, self._first, begin, epochs=0)
        else:
            state = checkpoints.restore(lambda stage: self._state(seed, stage, initial, epochs=0))
            begin = self._beginning(folder, int(state.stage), seed, initial)
        return state, self._reader.read(self._programs[int(state.stage)], begin.params)

    def _next_stage(self, seed: int, folder: Path, state: RunState, data: StageData) -> tuple[RunState, StageData]:
        """Keeps what an ended stage leaves. Returns the state before the next one, and what that reads."""
        begin = Beginning(merge(state.best_params, data.frozen), state.train.memory)
        save_params(folder / "stages" / data.program.stage.name, _as_dict(begin))
        stage = int(state.stage) + 1
        state = self._state(seed, stage, begin, epochs=int(state.epochs))
        return state, self._reader.read(self._programs[stage], begin.params)

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
          TrainingStopped: a loss is not finite. InputError: the checkpoint is of something else; stages_from has nothing
            that fits.
        """
        if (folder / "result.json").is_file():
            return load_result(folder)
        checkpoints = RunCheckpoints(folder)
        state, data = self._first_state(seed, folder, checkpoints)
        for log in (metrics_file, steps_file):
            if log is not None:
                log.rewind(number, int(state.epochs))
        try:
            while True:
                if bool(state.ended):
                    if int(state.best_epoch) == 0:
                        raise TrainingStopped(
                            f"run {seed}: {data.program.options.selection} on valid was not defined in any epoch of stage "
                            f"{data.program.stage.name}, so none can be selected; choose another --selection"
                        )
                    if int(state.stage) + 1 == len(self._programs):
                        break
                    state, data = self._next_stage(seed, folder, state, data)
                state = self._epoch(state, data, seed, number, metrics_file, steps_file)
                if record is not None:
                    record(int(state.epochs), self._method.records(state.train.memory))
                if bool(state.ended) or int(state.epochs) % self._options.checkpoint_epochs == 0:
                    checkpoints.save(state)
        finally:
            checkpoints.close()
        result = self._finish(state, data, seed, folder)
        checkpoints.delete()
        return result

    def _epoch(
        self,
        state: RunState,
        data: StageData,
        seed: int,
        number: int,
        metrics_file: MetricsFile,
        steps_file: MetricsFile | None,
    ) -> RunState:
        begun = time.monotonic()
        options, stage = data.program.options, data.program.stage
        epoch = int(state.epochs) + 1
        plan = epoch_plan(
            self._prepared.inputs.rows,
            options.batch_size,
            seed=seed,
            # Counted within the stage, so that a stage is the same whether those before it were trained here or elsewhere.
            epoch=int(state.stage) * STAGE_EPOCHS + int(state.train.epoch),
            lengths=data.lengths,
            capacity=None if data.lengths is None else data.program.capacity,
        )
        weights = {name: float(value) for name, value in self._method.weights(options, state.train.memory).items()}
        train, report = self._steps(data, state.train, plan, seed, epoch)
        means = {name: float(value / report.rows) for name, value in report.sums.items()}
        memory = self._method.end_epoch(train.memory, {name: jnp.float32(v) for name, v in means.items()}, options)
        train = train.replace(memory=memory, epoch=train.epoch + 1)

        scores = data.scorer(merge(train.params, data.frozen), "valid")[stage.head]
        if not np.isfinite(scores).all():
            raise TrainingStopped(f"run {seed}, epoch {epoch}: the predictions on valid are not finite")
        label = self._prepared.columns["valid"][stage.label]
        valid = metrics.evaluate(scores, label, kind=self._metric_kind)
        value = np.float32(selection_value(scores, label, valid, options))
        improved = bool(np.isfinite(value) and value <= np.float32(state.best_value) - options.min_delta)
        done = int(train.epoch) - 1
        first = epoch - done  # epochs of the stages before
        best_epoch = epoch if improved else int(state.best_epoch)
        since = done - max(best_epoch - first, 0)
        ended = since >= options.patience or done >= options.max_epochs
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
        tail = {} if len(self._programs) == 1 else {"stage": stage.name}
        weighted = {"weights": weights} if weights else {}
        metrics_file.append({**head, "train": means, "valid": valid, "seconds": round(seconds, 3), **tail, **weighted})
        if steps_file is not None:
            steps_file.append(*({**head, **record, **tail} for record in _records(report, options, done, len(plan))))
        self._progress.line(
            f"seed {seed}  epoch {epoch:3d}  train {means['loss']:.4f}  valid MAE {valid['MAE']:.4f}  "
            f"Corr {valid['Corr']:.4f}  {seconds:.1f} s{'  best' if improved else ''}"
        )
        return state

    def _steps(self, data: StageData, train: Any, plan: Plan, seed: int, epoch: int) -> tuple[Any, Report]:
        """All mini-batches of an epoch. Returns the state and what they report, on the host."""
        report: Report | None = None
        program, accumulate = data.program, data.program.options.accumulate
        for arrays, part, real, first in data.train.chunks(plan):
            windows = math.ceil(real / accumulate)
            step = max(1, windows // 20) if self._progress.wants_chunks else windows
            for start in range(0, windows, step):
                stop = min(start + step, windows)
                if report is None:
                    report = program.empty_report(train, data.frozen, arrays, part, batches=len(plan))
                train, report = program.train(
                    train, data.frozen, arrays, jax.tree.map(jnp.asarray, part), np.int32(first), np.int32(start),
                    np.int32(stop), np.int32(real), report,
                )  # fmt: skip
                report = jax.device_get(report)
                if report.bad_batch >= 0:
                    names = [name for name in report.sums if name != "loss"]
                    terms = [name for name, bad in zip(names, report.bad_terms, strict=True) if bad]
                    raise TrainingStopped(
                        f"run {seed}, epoch {epoch}, step {int(report.bad_batch) + 1} of {len(plan)}: "
                        f"loss term {', '.join(terms)} is not finite; the last checkpoint is kept"
                    )
                self._progress.bar(f"seed {seed}  epoch {epoch}", min(first + stop * accumulate, len(plan)), len(plan))
        return train, report

    def _finish(self, state: RunState, data: StageData, seed: int, folder: Path) -> Result:
        params = merge(state.best_params, data.frozen)
        scores = {split: data.scorer(params, split) for split in HELD_OUT}
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
    """The lines of `steps/SEED.jsonl` of an epoch, 1-based in its stage.

    step: the last mini-batch of the record, counted from 1 over the epochs of its stage. steps: how many mini-batches are in
    it. train: {term: mean over their rows}.
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


def _as_dict(begin: Beginning) -> dict[str, Any]:
    """As it is kept: a memory may be of any type, so that its arrays are numbered."""
    memory = {f"memory_{number}": leaf for number, leaf in enumerate(jax.tree.leaves(begin.memory))}
    return {"params": begin.params, **memory}


def _read_beginning(folder: Path, like: Beginning) -> Beginning:
    """What a stage left in its folder, in the structure of `like`.

    Raises:
      InputError: there is nothing, it is damaged, or of other shapes.
    """
    kept = load_params(folder)
    if jax.tree.map(np.shape, kept) != jax.tree.map(np.shape, _as_dict(like)):
        raise InputError(f"{folder}: what this stage left does not fit this experiment: other parameters or other rows")
    leaves = [kept[f"memory_{number}"] for number in range(len(kept) - 1)]
    memory = jax.tree.unflatten(jax.tree.structure(like.memory), leaves)
    return jax.tree.map(jnp.asarray, Beginning(kept["params"], memory))


def _other_run(experiment: Path, seed: int) -> Path:
    """The folder of the run, of another experiment, whose first stages are taken."""
    runs = sorted(path for path in (experiment / "checkpoints").glob("*") if (path / "stages").is_dir())
    named = [path for path in runs if path.name == str(seed)] or (runs if len(runs) == 1 else [])
    if not named:
        found = f"it has those of seeds {', '.join(path.name for path in runs)}" if runs else "it has none"
        raise InputError(f"option stages_from: {experiment} has no stages of seed {seed}; {found}")
    return named[0]
