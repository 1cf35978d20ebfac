"""Runs: the epochs of one seed, or of several side by side, through all stages; early stopping, checkpoints, resumption."""

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from msa_jax import config, metrics
from msa_jax.config import Options
from msa_jax.data.batches import Plan, epoch_plan
from msa_jax.errors import InputError, TrainingStopped
from msa_jax.methods.protocol import Method, Stage
from msa_jax.train import processes
from msa_jax.train.beginning import Beginning, check_beginning, other_run, read_beginning, write_beginning
from msa_jax.train.checkpoint import RunCheckpoints
from msa_jax.train.epoch_report import Report
from msa_jax.train.logs import Logs, Run, progress_line
from msa_jax.train.mesh import Layout
from msa_jax.train.prepare import Prepared, compute_dtype, example_batch, pretrained
from msa_jax.train.program import Program, Span, merge
from msa_jax.train.progress import Progress
from msa_jax.train.resident import SHARE, device_memory, streams
from msa_jax.train.results import Result, load_result, save_result
from msa_jax.train.selection import selection_value
from msa_jax.train.stages import HELD_OUT, StageData, StageReader, resolve_stages, same, text_capacity
from msa_jax.train.state import RunState, TrainState, choose, put, stack, start_stage, take

STAGE_EPOCHS = 2**20  # more than any stage has


class Epoch(NamedTuple):
    """What an epoch of runs side by side gave; the first of r places are the runs that had not ended.

    number: over all stages. done: of the stage, this one included. going: places of those runs. means: {term: [r]}.
    report: [r, ...]. scores: [r, N], on valid. weights: [r], of the terms. batches: mini-batches of it. seconds: of each run.
    """

    number: int
    done: int
    going: np.ndarray
    means: Mapping[str, np.ndarray]
    report: Report
    scores: np.ndarray
    weights: Sequence[Mapping[str, float]]
    batches: int
    seconds: float


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
        self._method, self._options, self.prepared = method, options, prepared
        self._metric_kind = metric_kind
        self._progress = progress or Progress(None)
        self._layout = Layout(options.data_devices)
        self._programs = [self._program(*stage) for stage in resolve_stages(method, options, prepared.inputs)]
        self._reader = StageReader(prepared.columns, self._layout)
        self._first = len(self._programs) - 1 if options.stages_from is not None else 0

    def _program(self, stage: Stage, options: Options) -> Program:
        batches = math.ceil(self.prepared.inputs.rows / options.batch_size)
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
            self.prepared.inputs,
            stage=stage,
            updates=options.max_epochs * max(updates, 1),
            # The rows that a stage adds to a mini-batch are not known when it is planned.
            capacity=None if stage.partners else text_capacity(self.prepared.columns["train"], options),
            dtype=compute_dtype(options),
            layout=self._layout,
        )

    def check(self) -> None:
        """Builds the network in shapes only. Raises InputError where an option does not fit, before anything is written."""
        self._layout.check()
        self._programs[0].param_shapes(self._example())
        for program in self._programs:
            if program.stage.partners and streams(self.prepared.columns["train"], program.options):
                raise InputError(
                    f"option resident: stage {program.stage.name} draws partners of each row from the whole training "
                    "split, which must lie on the device"
                )

    def check_stages_from(self, seeds: Sequence[int]) -> None:
        """Raises InputError where `stages_from` has nothing that fits, before anything is written."""
        if self._first == 0:
            return
        shapes = self._programs[0].param_shapes(self._example())
        memory = jax.eval_shape(self._memory, {})
        for seed in seeds:
            check_beginning(self._taken(seed), Beginning(shapes, memory))

    def reason_alone(self) -> str | None:
        """Why runs cannot be trained side by side; None where they can."""
        if len(self._programs) > 1:
            return f"method {self._method.name} trains in {len(self._programs)} stages"
        if streams(self.prepared.columns["train"], self._options):
            return "the dataset does not stay on the device (option resident)"
        if not self._options.finetune_text and self.prepared.bert is None and self._options.text_encoder == "scratch":
            return "each seed has a frozen text encoder of its own"
        return None

    def arguments(self, names: Sequence[str]) -> frozenset[str]:
        """Those of these real options that the programs can take as arguments: they decide no shape and no branch."""
        if len(self._programs) > 1:
            return frozenset()
        program, run = self._programs[0], Run(number=0, seed=0, folder=Path())
        begin = self.initial(run)
        trained, frozen = program.split(begin.params)
        plan = epoch_plan(self.prepared.inputs.rows, program.options.batch_size, seed=0, epoch=1)
        state = program.start(trained, begin.memory, jax.random.key(0))
        columns = self._data(0, [begin]).train.columns
        return frozenset(name for name in names if program.takes(name, state, frozen, columns, plan))

    def gainful(self) -> int:
        """How many runs side by side the devices gain from, with room for their states.

        On a CPU as many as it has cores (see `mesh`): more of them would only do the same work in larger pieces. Elsewhere
        as many as take a fraction of the memory: parameters, two moments, gradients and the best parameters, twice over.
        """
        devices = jax.local_devices()
        if devices[0].platform == "cpu":
            return self._layout.room
        shapes = self._programs[0].param_shapes(self._example())
        size = sum(4 * leaf.size for leaf in jax.tree.leaves(shapes))
        return self._layout.room * max(1, int(SHARE * device_memory() / (10 * size)))

    # -- where runs and their stages begin ----------------------------------------------------------------------------

    def initial(self, run: Run) -> Beginning:
        """Where a run begins; everything random in it comes from the seed."""
        key = jax.random.key(run.seed)
        batch = self._example()
        # Epochs fold 1, 2, ... into the key; 0 is left for the parameters.
        given = pretrained(self.prepared.bert, self._programs[0].param_shapes(batch))
        params = self._programs[0].init_params(jax.random.fold_in(key, 0), batch, given)
        return Beginning(params, self._memory({name: np.float32(value) for name, value in run.values.items()}))

    def _memory(self, values: Mapping[str, Any]) -> Any:
        """The memory of a run with these values of options."""
        # The last stage's options are those of the run.
        return self._programs[-1].init_memory(self.prepared.columns["train"], values)

    def _example(self) -> dict[str, Any]:
        """A batch to take shapes from."""
        columns = self.prepared.columns["train"]
        return example_batch(columns, min(2, len(columns["label"])))

    def _taken(self, seed: int) -> Path:
        """The folder of what the stage before the first one left in the experiment `stages_from`."""
        return _left(other_run(Path(self._options.stages_from), seed), self._programs[self._first - 1])

    def _beginning(self, run: Run, stage: int, initial: Beginning) -> Beginning:
        """Where a stage of a run begins: with what the stage before left, or as the run itself, `initial`."""
        if stage == 0:
            return initial
        own = stage > self._first
        return read_beginning(_left(run.folder, self._programs[stage - 1]) if own else self._taken(run.seed), initial)

    def _state(self, runs: Sequence[Run], stage: int, begins: Sequence[Beginning], *, epochs: np.ndarray) -> RunState:
        """The state of runs before the first epoch of a stage; `epochs` [R] are those of the stages before."""
        program, started = self._programs[stage], []
        for run, begin in zip(runs, begins, strict=True):
            key = jax.random.key(run.seed)
            for _ in range(stage):
                key = jax.random.fold_in(key, 2**32 - 1)  # epochs never reach this number
            started.append(program.start(program.split(begin.params)[0], begin.memory, key))
        return start_stage(self._layout.deal(stack(started), len(runs)), stage=stage, epochs=epochs)

    def _first_state(self, runs: Sequence[Run], checkpoints: RunCheckpoints) -> tuple[RunState, StageData]:
        """The state that runs go on from, their newest checkpoint or their beginning, and what their stage reads."""
        initial = [self.initial(run) for run in runs]
        epochs = np.zeros(len(runs), np.int32)
        if checkpoints.empty:
            begins = [self._beginning(run, self._first, begin) for run, begin in zip(runs, initial, strict=True)]
            state = self._state(runs, self._first, begins, epochs=epochs)
        else:
            state = checkpoints.restore(lambda stage: self._state(runs, stage, initial, epochs=epochs))
            begins = [self._beginning(run, int(state.stage), begin) for run, begin in zip(runs, initial, strict=True)]
        return state, self._data(int(state.stage), begins)

    def _next_stage(self, runs: Sequence[Run], state: RunState, data: StageData) -> tuple[RunState, StageData]:
        """Keeps what an ended stage leaves. Returns the state before the next one, and what that reads."""
        begins = []
        for place, run in enumerate(runs):
            left = self._layout.whole(take((state.best_params, state.train.memory), place))
            begins.append(Beginning(merge(left[0], data.frozen.tree), left[1]))
            write_beginning(_left(run.folder, data.program), begins[-1])
        stage = int(state.stage) + 1
        return self._state(runs, stage, begins, epochs=state.epochs), self._data(stage, begins)

    def _data(self, stage: int, begins: Sequence[Beginning]) -> StageData:
        program = self._programs[stage]
        frozen = [program.split(begin.params)[1] for begin in begins]
        if not all(same(frozen[0], other) for other in frozen[1:]):
            raise ValueError("runs side by side must share what is frozen")
        return self._reader.read(program, begins[0].params)

    # -- runs side by side --------------------------------------------------------------------------------------------

    def run(self, runs: Sequence[Run], logs: Logs, *, tolerant: bool = False, keep: bool = True) -> list[Result | None]:
        """Trains runs to their ends, from their newest checkpoint if there is one.

        Args:
          runs: R of them, side by side; more than one only without `reason_alone`.
          tolerant: a run that is not finite any more ends, and the others go on.
          keep: write the results and best parameters to the folders of the runs; otherwise only valid is scored.

        Returns:
          A result each; None for a run that failed.

        Raises:
          TrainingStopped: a loss is not finite, unless tolerant. InputError: the checkpoint is of something else;
            stages_from has nothing that fits.
        """
        if all((run.folder / "result.json").is_file() for run in runs):
            return [load_result(run.folder) for run in runs]
        together = f"{runs[0].folder.name}_to_{runs[-1].folder.name}"
        checkpoints = RunCheckpoints(runs[0].folder if len(runs) == 1 else runs[0].folder.parent / together)
        state, data = self._first_state(runs, checkpoints)
        for place, run in enumerate(runs):
            logs.rewind(run, int(state.epochs[place]))
        try:
            while True:
                if state.ended.all():
                    self._check_selected(runs, state, data, tolerant)
                    if int(state.stage) + 1 == len(self._programs):
                        break
                    state, data = self._next_stage(runs, state, data)
                state, epoch = self._train(runs, state, data, tolerant)
                state = self._judge(runs, state, data, epoch, logs, tolerant)
                if state.ended.all() or state.epochs.max() % self._options.checkpoint_epochs == 0:
                    checkpoints.save(state)
        finally:
            checkpoints.close()
        results = self._finish(runs, state, data, keep)
        checkpoints.delete()
        return results

    def _check_selected(self, runs: Sequence[Run], state: RunState, data: StageData, tolerant: bool) -> None:
        for run, best in zip(runs, state.best_epoch, strict=True):
            if best == 0 and not tolerant:
                raise TrainingStopped(
                    f"run {run.seed}: {data.program.options.selection} on valid was not defined in any epoch of stage "
                    f"{data.program.stage.name}, so none can be selected; choose another --selection"
                )

    def _train(self, runs: Sequence[Run], state: RunState, data: StageData, tolerant: bool) -> tuple[RunState, Epoch]:
        """One epoch of the runs that have not ended; the state before what it changes is judged."""
        begun, program = time.monotonic(), data.program
        going, places = np.flatnonzero(~state.ended), _side_by_side(state.ended)
        whole = len(going) == len(runs)
        epoch = int(state.epochs[going[0]]) + 1  # all that have not ended have had as many
        done = int(np.asarray(self._layout.whole(state.train.epoch))[going[0]])
        together = [runs[place] for place in places]
        values = {name: np.float32([run.values[name] for run in together]) for name in runs[0].values}
        part = state.train if whole else self._layout.deal(take(state.train, places), len(places))
        frozen = data.frozen.on(len(places))
        plans = [
            epoch_plan(
                self.prepared.inputs.rows,
                program.options.batch_size,
                seed=run.seed,
                # Counted within the stage, so that it is the same whether those before it were trained here or elsewhere.
                epoch=int(state.stage) * STAGE_EPOCHS + done,
                lengths=data.lengths,
                capacity=None if data.lengths is None else program.capacity,
            ).widened(self._layout.rounded(program.options.batch_size))
            for run in together
        ]
        weights = self._weights(program.options, together, part.memory)
        part, report = self._steps(data, frozen, part, plans, values, together, epoch, tolerant)
        rows = np.maximum(report.rows, 1)
        means = {name: (sums / rows).astype(np.float32) for name, sums in report.sums.items()}
        part = part.replace(memory=program.end_epoch(means, part.memory, values), epoch=part.epoch + 1)
        scores = data.scorer.runs(part.params, frozen, "valid")[program.stage.head]
        if not whole:
            part = put(state.train, going, self._layout.share(take(part, np.arange(len(going))), len(runs)))
        seconds = (time.monotonic() - begun) / len(going)
        found = Epoch(epoch, done, going, means, report, scores, weights, len(plans[0]), seconds)
        return state.replace(train=part), found

    def _judge(
        self, runs: Sequence[Run], state: RunState, data: StageData, epoch: Epoch, logs: Logs, tolerant: bool
    ) -> RunState:
        """Which runs are better than before, and which end; writes what there is to say of the epoch."""
        options, stage = data.program.options, data.program.stage
        label = self.prepared.columns["valid"][stage.label]
        kept = ("best_value", "best_epoch", "epochs", "ended", "failed")
        best_value, best_epoch, epochs, ended, failed = (getattr(state, name).copy() for name in kept)
        improved = np.zeros(len(runs), bool)
        lines = []
        for number, place in enumerate(epoch.going):
            run, epochs[place] = runs[place], epoch.number
            if epoch.report.bad_batch[number] >= 0 or not np.isfinite(epoch.scores[number]).all():
                if not tolerant:
                    raise TrainingStopped(
                        f"run {run.seed}, epoch {epoch.number}: the predictions on valid are not finite"
                    )
                ended[place] = failed[place] = True
                continue
            valid = metrics.evaluate(epoch.scores[number], label, kind=self._metric_kind)
            value = np.float32(selection_value(epoch.scores[number], label, valid, options))
            improved[place] = np.isfinite(value) and value <= best_value[place] - np.float32(options.min_delta)
            if improved[place]:
                best_value[place], best_epoch[place] = value, epoch.number
            since = epoch.done - max(int(best_epoch[place]) - (epoch.number - epoch.done), 0)
            ended[place] = since >= options.patience or epoch.done >= options.max_epochs
            head = {"run": run.number, "seed": run.seed, "epoch": epoch.number}
            tail: dict[str, Any] = {} if len(self._programs) == 1 else {"stage": stage.name}
            means = {name: float(mean[number]) for name, mean in epoch.means.items()}
            weighted = {"weights": epoch.weights[number]} if epoch.weights[number] else {}
            lines.append(
                {**head, "train": means, "valid": valid, "seconds": round(epoch.seconds, 3), **tail, **weighted}
            )
            own = jax.tree.map(lambda leaf, number=number: leaf[number], epoch.report)
            first = (epoch.done - 1) * epoch.batches
            logs.write_steps(run, own, options, {**head, **tail}, batches=epoch.batches, first=first)
        logs.metrics.append(*lines)
        if lines:
            better = improved[epoch.going[~failed[epoch.going]]]
            self._progress.line(progress_line(runs, lines, better, epoch.seconds * len(epoch.going)))
        if logs.record is not None:
            for place in epoch.going[~failed[epoch.going]]:
                memory = self._layout.whole(take(state.train.memory, place))
                logs.record(runs[place], epoch.number, self._method.records(memory))
        best = choose(improved, state.train.params, state.best_params) if improved.any() else state.best_params
        return state.replace(
            best_params=best, best_value=best_value, best_epoch=best_epoch, epochs=epochs, ended=ended, failed=failed
        )

    def _weights(self, options: Options, runs: Sequence[Run], memories: Any) -> list[dict[str, float]]:
        """Of the terms of each of R runs; memories: [R, ...]."""

        def weights(memory: Any, run: Run) -> Mapping[str, Any]:
            return self._method.weights(config.override(options, run.values), memory)

        # Most methods weigh nothing: then no memory, which may be large, is copied out of those of all runs.
        if not jax.eval_shape(lambda memories: weights(take(memories, 0), runs[0]), memories):
            return [{} for _ in runs]
        each = (weights(self._layout.whole(take(memories, place)), run) for place, run in enumerate(runs))
        return [{name: float(value) for name, value in found.items()} for found in each]

    def _steps(
        self,
        data: StageData,
        frozen: Any,
        states: TrainState,
        plans: Sequence[Plan],
        values: Mapping[str, Any],
        runs: Sequence[Run],
        epoch: int,
        tolerant: bool,
    ) -> tuple[TrainState, Report]:
        """All mini-batches of an epoch. Returns the states and what they report, [R], on the host."""
        report: Report | None = None
        program, accumulate, batches = data.program, data.program.options.accumulate, len(plans[0])
        for arrays, parts, real, first in data.train.chunks(plans):
            windows = math.ceil(real / accumulate)
            step = max(1, windows // 20) if self._progress.wants_chunks else windows
            for start in range(0, windows, step):
                stop = min(start + step, windows)
                if report is None:
                    report = program.empty_reports(states, frozen, arrays, parts, batches=batches)
                states, report = program.train_runs(
                    states, frozen, arrays, parts, Span.of(start, stop, count=real, first=first), report, values
                )
                report = jax.device_get(self._layout.whole(report))
                bad = np.flatnonzero(report.bad_batch >= 0)
                if len(bad) and not tolerant:
                    names = [name for name in report.sums if name != "loss"]
                    terms = [name for name, is_bad in zip(names, report.bad_terms[bad[0]], strict=True) if is_bad]
                    raise TrainingStopped(
                        f"run {runs[bad[0]].seed}, epoch {epoch}, step {int(report.bad_batch[bad[0]]) + 1} of {batches}: "
                        f"loss term {', '.join(terms)} is not finite; the last checkpoint is kept"
                    )
                label = f"seed {runs[0].seed}" if len(runs) == 1 else f"{len(runs)} runs"
                self._progress.bar(f"{label}  epoch {epoch}", min(first + stop * accumulate, batches), batches)
        return states, report

    def _finish(self, runs: Sequence[Run], state: RunState, data: StageData, keep: bool) -> list[Result | None]:
        splits = HELD_OUT if keep else ("valid",)
        frozen = data.frozen.on(len(runs))
        scores = {split: data.scorer.runs(state.best_params, frozen, split) for split in splits}
        results: list[Result | None] = []
        for place, run in enumerate(runs):
            if state.failed[place] or state.best_epoch[place] == 0:
                results.append(None)
                continue
            own = {split: {head: array[place] for head, array in heads.items()} for split, heads in scores.items()}
            values = {
                split: metrics.evaluate(
                    heads["prediction"], self.prepared.columns[split]["label"], kind=self._metric_kind
                )
                for split, heads in own.items()
            }
            results.append(
                Result(
                    seed=run.seed,
                    best_epoch=int(state.best_epoch[place]),
                    epochs=int(state.epochs[place]),
                    valid=values["valid"],
                    test=values.get("test", {}),
                    scores=own,
                )
            )
            if keep:
                best, memory = self._layout.whole(take((state.best_params, state.train.memory), place))
                save_result(run.folder, results[-1], merge(best, data.frozen.tree), self._method.records(memory))
        return results


def _left(run: Path, program: Program) -> Path:
    """Where a run keeps what the stage of a program leaves."""
    return run / "stages" / program.stage.name


def _side_by_side(ended: np.ndarray) -> np.ndarray:
    """The places that an epoch is computed for: those that have not ended, and some others, so that few sizes are compiled.

    All while more than half go on, then half, then a quarter, and so on; those that go on are first. All to the end where
    there are several processes, since a state does not move from one to another.
    """
    going, rest = np.flatnonzero(~ended), np.flatnonzero(ended)
    size = len(ended)
    while processes.count() == 1 and len(going) <= size // 2:
        size //= 2
    return np.concatenate([going, rest])[:size]
