"""Runs: the epochs of one seed, or of several side by side, through all stages; checkpoints and resumption."""

import math
import shutil
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from msa_jax import metrics
from msa_jax.config import Options
from msa_jax.data.schema import HELD_OUT
from msa_jax.errors import InputError, TrainingStopped
from msa_jax.methods.protocol import Clock, Method
from msa_jax.train import processes
from msa_jax.train.atomic import without_nan
from msa_jax.train.checkpoint import RunCheckpoints, delete_state, save_stage, save_variables
from msa_jax.train.device_data import SHARE, bytes_of, streams
from msa_jax.train.epoch_numbers import epoch_numbers
from msa_jax.train.epoch_trainer import Epoch, EpochTrainer
from msa_jax.train.experiment_dir import Logs, Result, Run, load_result, save_result
from msa_jax.train.in_parts import if_there_is_room
from msa_jax.train.judge import check_selection, judge, reopened, rounded, selected_term, selection_value
from msa_jax.train.memory import device_memory
from msa_jax.train.orbax_messages import check_there
from msa_jax.train.prepare import Prepared
from msa_jax.train.progress import Progress, progress_line
from msa_jax.train.pruning import MedianStopping
from msa_jax.train.report import step_lines
from msa_jax.train.stage_data import StageData
from msa_jax.train.stage_inits import StageInits
from msa_jax.train.state import Best, Flat, RunState, choose, copy, take
from msa_jax.train.trackers import EpochRecord


class Runner:
    """Trains runs of one method on one dataset at one set of options; all share the compiled programs.

    inits: where stages begin, and the programs of every stage.
    """

    def __init__(
        self,
        method: Method,
        options: Options,
        prepared: Prepared,
        *,
        metric_kind: str,
        progress: Progress | None = None,
    ):
        check_selection(method, options, metric_kind)
        self.method, self.options, self.prepared = method, options, prepared
        self._metric_kind = metric_kind
        self._progress = progress or Progress(None)
        self.inits = StageInits(method, options, prepared)
        for programs in self.inits.stages:  # one may have a selection of its own
            check_selection(method, programs.options, metric_kind, f"stage {programs.stage.name}: ")
        self._layout = self.inits.layout
        self._epochs = EpochTrainer(prepared, self._layout, self._progress)

    # -- side by side or one after the other --------------------------------------------------------------------------

    def why_sequential(self) -> str | None:
        """Why runs cannot be trained side by side; None if they can."""
        if len(self.inits.stages) > 1:
            return f"method {self.method.name} trains in {len(self.inits.stages)} stages"
        if streams(self.prepared.columns["train"], self.options):
            return "the dataset does not stay on the device (option resident)"
        if self.inits.frozen_by_seed():
            return "each seed has a frozen text encoder of its own"
        return None

    def traceable_options(self, names: Sequence[str]) -> frozenset[str]:
        """Those of these real options that training takes as arguments: they decide no shape and no branch, and nothing else
        reads them."""
        if len(self.inits.stages) > 1 or len(self.inits.stages[0].phases) > 1:
            return frozenset()
        programs, run = self.inits.stages[0], Run(number=0, seed=0, folder=Path())
        init = self.inits.initial(run)
        data = self.inits.read(0, [init])
        states = programs.start([init], [jax.random.key(0)])
        phase, plans = (
            programs.phases[0],
            self._epochs.plans(programs.phases[0], 0, [run], data, stage=0, stage_epoch=1),
        )
        arrays, parts, _, _ = next(iter(data.train.chunks(plans)))
        frozen = programs.frozen(init.variables.params)
        return frozenset(
            name
            for name in names
            if phase.accepts_traced(name, states, frozen, arrays, parts, self.inits.traced_memory)
            and not self.inits.reads_outside_training(name)
        )

    def together(self, runs: int, before: int | None = None) -> int:
        """How many of so many runs go side by side, at most. before: how many did until they were interrupted.

        Raises:
          InputError: more than one was asked for where that cannot be.
        """
        asked, reason = self.options.runs_per_program, self.why_sequential()
        if asked != "auto":
            if asked > 1 and reason is not None:
                raise InputError(f"option runs_per_program is {asked}: {reason}; expected 1")
            return min(asked, runs)
        return 1 if reason is not None else before or self._gainful(runs)

    def _gainful(self, runs: int) -> int:
        """How many of so many runs the devices gain from side by side, with room for their states.

        What a step needs besides is known only when it is compiled: `run` says where that has no room.

        A run has parameters, two moments, gradients and the best parameters, twice over; what runs share they have once. On a
        CPU as many runs as it has cores (see `runs`), each with a copy of the dataset and of what is shared: more of them would
        only do the same work in larger pieces. Elsewhere as many as take a fraction of the memory.
        """
        first, sizes = self.inits.stages[0], self.inits.shapes.params
        own = 10 * sum(4 * math.prod(leaf.shape) for path, leaf in sizes.items() if path not in first.shared)
        memory = SHARE * device_memory()
        if jax.local_devices()[0].platform == "cpu":
            own += bytes_of(self.prepared.columns["train"]) + self.inits.bytes_of_states(0)
            own += sum(4 * math.prod(sizes[path].shape) for path in first.shared)
            return self._layout.together(runs, room=1, most=min(self._layout.run_slots, max(1, int(memory / own))))
        room = max(1, int(memory / own))
        return self._layout.together(runs, room=room, most=self._layout.run_slots * room)

    # -- the loop of epochs -------------------------------------------------------------------------------------------

    def run(
        self,
        runs: Sequence[Run],
        logs: Logs,
        *,
        keep: bool = True,
        keep_state: bool = False,
        stopping: MedianStopping | None = None,
    ) -> list[Result | None]:
        """Trains runs to their ends, from their newest checkpoint if there is one.

        Args:
          runs: R of them, side by side; more than one only if `why_sequential` has no reason.
          keep: write the results and best parameters to the folders of the runs, and stop if one is not finite any more;
            otherwise only valid is scored, nothing stays, and such a run ends alone.
          keep_state: leave the last state where it is, so that the runs can go on to more epochs.
          stopping: says which runs end early, in the last stage.

        Returns:
          A result each; None for a run that failed.

        Raises:
          TrainingStopped: a loss is not finite, if results are kept.
          OutOfMemory: as of `if_there_is_room`.
          InputError: the checkpoint is of something else; stages_from has nothing that fits.
        """
        own = partial(self._run, logs=logs, keep=keep, keep_state=keep_state, stopping=stopping)
        return if_there_is_room(runs, own, self._progress)

    def _run(
        self,
        runs: Sequence[Run],
        folder: Path,
        logs: Logs,
        *,
        keep: bool,
        keep_state: bool,
        stopping: MedianStopping | None,
    ) -> list[Result | None]:
        """What `run` does; folder: of the runs' state."""
        if processes.primary_says(lambda: all(run.finished for run in runs)):
            if not keep_state:
                delete_state(folder)  # of which a process that died may have left some
            return [load_result(run.folder) for run in runs]
        checkpoints = RunCheckpoints(folder)
        try:
            state, data = self.inits.resume(runs, checkpoints)
            stage_epochs = np.asarray(self._layout.to_host(state.train.epoch)) - 1
            stage, options = data.programs.stage, data.programs.options
            state = state.replace(standing=reopened(state.standing, stage_epochs, options, stage.select_from))
            for place, run in enumerate(runs):
                logs.rewind(run, int(state.standing.epochs[place]))
            if stopping is not None:
                stopping.begin(logs.metrics.read(), self.inits.stages[-1].stage.name)
                state = self._given_up(runs, state, stopping)
            while True:
                if state.standing.ended.all():
                    if keep:
                        self._check_selected(runs, state, data)
                    elif (state.standing.failed | (state.standing.best_epoch == 0)).all():
                        break  # there is nothing from which the next stage could begin
                    if int(state.stage) + 1 == len(self.inits.stages):
                        break
                    state, data = self._next_stage(runs, state, data)
                before = copy(state.train.params) if logs.measures else None
                train, epoch = self._epochs.train(runs, state, data, strict=keep)
                state, lines = self._end_epoch(runs, state.replace(train=train), data, epoch, logs, before, strict=keep)
                if stopping is not None and int(state.stage) + 1 == len(self.inits.stages):
                    stopping.see(lines)
                    state = self._given_up(runs, state, stopping)
                if state.standing.ended.all() or checkpoints.is_due(self.options.checkpoint_epochs, state):
                    checkpoints.save(state)
        finally:
            checkpoints.close()
        check_there(runs[0].folder.parent)
        results = self._finish(runs, state, data, keep)
        if not keep_state:
            delete_state(folder)
        if not keep:
            for run in runs:
                shutil.rmtree(run.folder, ignore_errors=True)  # what its stages left
        return results

    def _given_up(self, runs: Sequence[Run], state: RunState, stopping: MedianStopping) -> RunState:
        """The state in which those runs have ended too that are given up."""
        if int(state.stage) + 1 < len(self.inits.stages):
            return state
        ended = [done or stopping.stops(run.number) for run, done in zip(runs, state.standing.ended, strict=True)]
        return state.replace(standing=state.standing.replace(ended=np.array(ended, bool)))

    def _check_selected(self, runs: Sequence[Run], state: RunState, data: StageData) -> None:
        for run, best in zip(runs, state.standing.best_epoch, strict=True):
            if best == 0:
                raise TrainingStopped(
                    f"run {run.seed}: {data.programs.options.selection} on valid was not defined in any epoch of stage "
                    f"{data.programs.stage.name}, so none can be selected; choose another --selection"
                )

    def _next_stage(self, runs: Sequence[Run], state: RunState, data: StageData) -> tuple[RunState, StageData]:
        """Keeps what an ended stage leaves. Returns the state before the next one, and what that reads."""
        inits = []
        for place, run in enumerate(runs):
            best, memory = self._layout.to_host(take((state.best, state.train.memory), place))
            inits.append(self.inits.left(best, data.frozen.tree, memory))
            save_stage(self.inits.folder(run, int(state.stage)), inits[-1], self.inits.pretrained(run))
        return self.inits.begin(runs, int(state.stage) + 1, inits, epochs=state.standing.epochs)

    def _measured(self, prediction: np.ndarray, label: np.ndarray) -> dict[str, float]:
        return metrics.evaluate(prediction, label, kind=self._metric_kind, label_range=self.prepared.inputs.label_range)

    # -- between two epochs ------------------------------------------------------------------------------------------

    def _selection(self, state: RunState, data: StageData, epoch: Epoch) -> tuple[np.ndarray, list[dict[str, float]]]:
        """What selects the best epoch [r], NaN for runs that failed, and the metrics on valid, of the active runs."""
        programs, active = data.programs, epoch.active
        options, score = programs.options, programs.stage.select
        runs = len(state.standing.ended)
        now = Best(state.train.params, state.train.statistics)
        frozen = data.frozen.on(runs)
        # Of all heads, though one selects: so it is the program that scores the best epoch at the end.
        scores = data.scorer.scores(now, frozen, "valid", programs.heads, runs=runs)[score.head][active]
        failed = epoch.failed | ~np.isfinite(scores).all(1)
        label = self.prepared.columns["valid"][score.label]
        valid = [self._measured(one, label) if not bad else {} for one, bad in zip(scores, failed, strict=True)]
        term = selected_term(options)
        if term is not None:
            phase, train = programs.phases[-1].phase, state.train
            clock = Clock(train.epoch, train.updates[phase.name])
            terms = data.scorer.term(now, frozen, train.memory, clock, "valid", phase, term, runs=runs)[active]
            found = [rounded(float(value), options) for value in terms]
        else:
            found = [
                np.nan if bad else selection_value(one, label, of, options)
                for one, of, bad in zip(scores, valid, failed, strict=True)
            ]
        values = np.array(found, np.float32)
        # Processes that score on machines of other kinds may differ in the last bit, and must all decide the same.
        return processes.of_primary(np.where(failed, np.nan, values)), valid

    def _end_epoch(
        self,
        runs: Sequence[Run],
        state: RunState,
        data: StageData,
        epoch: Epoch,
        logs: Logs,
        before: Flat | None,
        *,
        strict: bool,
    ) -> tuple[RunState, list[dict[str, Any]]]:
        """Selects, stops, and writes what there is to say of the epoch. `state.train` is already after it.

        before: the parameters before the epoch, if logs measure how far they moved. strict: raise TrainingStopped where
        predictions are not finite.

        Returns:
          The state, and the lines of the epoch.
        """
        begun, options, stage = time.monotonic(), data.programs.options, data.programs.stage
        values, valid = self._selection(state, data, epoch)
        if strict and np.isnan(values).any():
            seed = runs[epoch.active[np.flatnonzero(np.isnan(values))[0]]].seed
            raise TrainingStopped(f"run {seed}, epoch {epoch.number}: the predictions on valid are not finite")
        standing, improved = judge(
            state.standing,
            epoch.active,
            values,
            epoch=epoch.number,
            stage_epoch=epoch.stage_epoch,
            options=options,
            select_from=stage.select_from,
        )
        seconds = epoch.seconds + (time.monotonic() - begun) / len(epoch.active)
        lines, well = [], np.flatnonzero(~np.isnan(values))
        for number in well:
            run = runs[epoch.active[number]]
            head: dict[str, Any] = {"run": run.number, "seed": run.seed, "epoch": epoch.number}
            tail: dict[str, Any] = {} if len(self.inits.stages) == 1 else {"stage": stage.name}
            train = {name: float(mean[number]) for name, mean in epoch.means.items()}
            weights = {name: float(weight[number]) for name, weight in epoch.weights.items()}
            line = {**head, "train": train, "valid": valid[number], "seconds": round(seconds, 3), **tail}
            lines.append({**line, "weights": weights} if weights else line)
            if run.number in logs.steps:
                own = jax.tree.map(lambda leaf, number=number: leaf[number], epoch.report)
                first = (epoch.stage_epoch - 1) * epoch.batches
                logs.steps[run.number].append(
                    *step_lines(own, options.record_steps, batches=epoch.batches, first=first, prefix={**head, **tail})
                )
        logs.metrics.append(*lines)
        self._track(runs, state, data, epoch, logs, dict(zip(well.tolist(), lines, strict=True)), before)
        if lines:
            better = improved[epoch.active[well]]
            self._progress.line(progress_line(runs, lines, better, seconds * len(epoch.active)))
        if logs.record is not None:
            check_there(runs[0].folder.parent)
            for number in well:
                place = epoch.active[number]
                memory = self._layout.to_host(take(state.train.memory, place))
                logs.record(runs[place], epoch.number, self.method.records(memory))
        best = state.best
        if improved.any():
            best = choose(improved, Best(state.train.params, state.train.statistics), state.best)
        train = state.train
        if not np.array_equal(standing.rate, state.standing.rate):
            train = train.replace(rate=self._layout.shard_runs(jnp.asarray(standing.rate), len(runs)))
        return state.replace(train=train, best=best, standing=standing), lines

    def _track(
        self,
        runs: Sequence[Run],
        state: RunState,
        data: StageData,
        epoch: Epoch,
        logs: Logs,
        lines: Mapping[int, Mapping[str, Any]],
        before: Flat | None,
    ) -> None:
        """Tells the trackers of the epoch. lines: of the active runs that went well, by their number among the active ones."""
        if not lines or not logs.trackers:
            return
        scalars: list[dict[str, float]] = []
        if before is not None:
            scalars = epoch_numbers(self.method, data.programs.phases[-1], epoch, state.train, before)
        records = []
        for number, line in lines.items():
            place, more = epoch.active[number], {}
            if before is not None:
                kept = self.method.records(take(state.train.memory, place))
                histograms = {f"records/{name}": np.asarray(values) for name, values in kept.items()}
                more = {"scalars": scalars[number], "histograms": histograms}
            records.append(EpochRecord(run=runs[place], line=without_nan(line), **more))
        for tracker in logs.trackers:
            tracker.epoch(records)

    # -- the end ------------------------------------------------------------------------------------------------------

    def _finish(self, runs: Sequence[Run], state: RunState, data: StageData, keep: bool) -> list[Result | None]:
        splits = HELD_OUT if keep else ("valid",)
        frozen, heads = data.frozen.on(len(runs)), data.programs.heads
        scores = {split: data.scorer.scores(state.best, frozen, split, heads, runs=len(runs)) for split in splits}
        results: list[Result | None] = []
        for place, run in enumerate(runs):
            if state.standing.failed[place] or state.standing.best_epoch[place] == 0:
                results.append(None)
                continue
            own = {split: {head: array[place] for head, array in of.items()} for split, of in scores.items()}
            measured = {
                split: self._measured(of["prediction"], self.prepared.columns[split]["label"])
                for split, of in own.items()
            }
            best, memory = self._layout.to_host(take((state.best, state.train.memory), place))
            records = self.method.records(memory) if keep else {}
            result = Result(
                seed=run.seed,
                best_epoch=int(state.standing.best_epoch[place]),
                epochs=int(state.standing.epochs[place]),
                valid=measured["valid"],
                test=measured.get("test", {}),
                scores=own,
                records={name: np.asarray(value) for name, value in records.items()},
            )
            results.append(result)
            if keep:
                left = self.inits.left(best, data.frozen.tree, memory).variables
                save_variables(run.folder, left, self.inits.pretrained(run))
                save_result(run.folder, result)
        return results
