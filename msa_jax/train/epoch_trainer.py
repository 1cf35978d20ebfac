"""An epoch of several runs side by side: all phases of it, planned on the host, trained by the compiled programs."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from msa_jax.data.batches import Plan, epoch_plan
from msa_jax.errors import TrainingStopped
from msa_jax.train import processes
from msa_jax.train.epoch import WindowRange
from msa_jax.train.experiment_dir import Run
from msa_jax.train.prepare import Prepared
from msa_jax.train.programs import PhasePrograms
from msa_jax.train.progress import Progress
from msa_jax.train.report import Report, term_means
from msa_jax.train.runs import Layout
from msa_jax.train.stage_data import StageData
from msa_jax.train.state import Best, RunState, TrainState, putting, take, taking

STAGE_EPOCHS = 2**20  # more than any stage has
PHASE_EPOCHS = 2**40  # more than the epochs of all stages


class Epoch(NamedTuple):
    """What an epoch of r runs side by side gave.

    number: over all stages. stage_epoch: within the stage, from 1. active: [r], the places of the runs. means: {term: [r]}.
    weights: {term: [r]}, of the terms. report: of the stage's last phase, [r, ...]. batches: mini-batches of that.
    failed: [r] bool, a loss was not finite. seconds: of each run.
    """

    number: int
    stage_epoch: int
    active: np.ndarray
    means: Mapping[str, np.ndarray]
    weights: Mapping[str, np.ndarray]
    report: Report
    batches: int
    failed: np.ndarray
    seconds: float


class EpochTrainer:
    """Trains epochs of runs side by side. Says nothing of what is better and who stops."""

    def __init__(self, prepared: Prepared, layout: Layout, progress: Progress):
        self._prepared, self._layout, self._progress = prepared, layout, progress
        self._window_seconds: dict[int, float] = {}  # of the last windows that were trained, by the id of their phase

    def train(self, runs: Sequence[Run], state: RunState, data: StageData, *, strict: bool) -> tuple[TrainState, Epoch]:
        """One epoch of the runs that have not ended: their states after it, in their places, and what it gave.

        strict: raise TrainingStopped where a loss of one of them is not finite.
        """
        begun, programs, standing = time.monotonic(), data.programs, state.standing
        active, places = np.flatnonzero(~standing.ended), side_by_side(standing.ended, self._layout)
        whole = len(active) == len(runs)
        number = int(standing.epochs[active[0]]) + 1  # all that have not ended have had as many
        stage_epoch = int(np.asarray(self._layout.to_host(state.train.epoch))[active[0]])
        together = [runs[place] for place in places]
        values = {name: np.float32([run.values[name] for run in together]) for name in runs[0].values}
        part = state.train if whole else self._picked(state.train, places, len(runs))
        frozen = data.frozen.on(len(places))
        means: dict[str, np.ndarray] = {}
        weights: dict[str, np.ndarray] = {}
        failed = np.zeros(len(active), bool)
        report, batches = None, 0

        def compile_scoring(states: TrainState) -> None:
            if whole:  # for as many runs as will be scored
                best = Best(states.params, states.statistics)
                data.scorer.compile(best, frozen, "valid", programs.heads, runs=len(runs))

        for index, phase in enumerate(programs.phases):
            plans = self.plans(phase, index, together, data, stage=int(state.stage), stage_epoch=stage_epoch)
            checked = len(active) if strict else 0  # the others have ended, and are computed along with these
            part, report = self._walk(
                phase, data, frozen, part, plans, values, together, number, checked, compile_scoring
            )
            own = term_means(report)
            memory = phase.end_epoch(runs=len(places), means=own, memory=part.memory, values=values)
            part, batches = part.replace(memory=memory), len(plans[0])
            last = index + 1 == len(programs.phases)
            prefix = "" if len(programs.phases) == 1 else f"{phase.phase.name}/"
            means |= {prefix + name: mean[: len(active)] for name, mean in own.items()}
            means |= {"loss": own["loss"][: len(active)]} if last else {}
            weights |= {prefix + name: np.asarray(weight)[: len(active)] for name, weight in report.weights.items()}
            failed |= np.asarray(report.bad_batch[: len(active)]) >= 0
        part = part.replace(epoch=part.epoch + 1)
        if not whole:
            part = self._put_back(state.train, active, part, len(runs))
        seconds = (time.monotonic() - begun) / len(active)
        return part, Epoch(number, stage_epoch, active, means, weights, report, batches, failed, seconds)

    def _picked(self, states: TrainState, places: np.ndarray, runs: int) -> TrainState:
        """The states of r of so many runs, on the devices of r runs, a share on each."""
        spread = self._layout.spread(len(places))
        if spread == self._layout.spread(runs):
            return taking(spread)(states, places)
        # On other devices: all of them lie on each device for a moment.
        return self._layout.shard_runs(take(states, places), len(places))

    def _put_back(self, states: TrainState, places: np.ndarray, part: TrainState, runs: int) -> TrainState:
        """The states of so many runs with the first of `part` at these places."""
        spread = self._layout.spread(runs)
        if spread != self._layout.spread(len(part.rate)):
            part = self._layout.replicate(part, runs)
        return putting(spread)(states, places, part)

    def plans(
        self, phase: PhasePrograms, index: int, runs: Sequence[Run], data: StageData, *, stage: int, stage_epoch: int
    ) -> list[Plan]:
        """The mini-batches of a phase of an epoch, of each run."""
        options = phase.options
        # Counted within the stage, so that it is the same whether those before it were trained here or elsewhere.
        epoch = index * PHASE_EPOCHS + stage * STAGE_EPOCHS + stage_epoch
        plans = []
        for run in runs:
            plan = epoch_plan(
                self._prepared.inputs.rows,
                options.batch_size,
                seed=run.seed,
                epoch=epoch,
                lengths=data.lengths,
                capacity=phase.walk.planned,
            )
            plan = plan if phase.batches >= len(plan) else plan.chunk(0, phase.batches)
            plans.append(plan.widened(self._layout.rounded(options.batch_size)))
        return plans

    def _walk(
        self,
        phase: PhasePrograms,
        data: StageData,
        frozen: Any,
        states: TrainState,
        plans: Sequence[Plan],
        values: Mapping[str, Any],
        runs: Sequence[Run],
        epoch: int,
        checked: int,
        meanwhile: Callable[[TrainState], None],
    ) -> tuple[TrainState, Report]:
        """All mini-batches of a phase of an epoch. Returns the states, and what they report [R] on the host.

        checked: how many of the runs, the first ones, stop the training if a loss of theirs is not finite. meanwhile: is
        called with the states to come while the device trains.
        """
        report: Report | None = None
        accumulate, batches = phase.options.accumulate, len(plans[0])
        chunks = data.train.chunks(plans)
        upcoming = next(chunks, None)
        while upcoming is not None:
            arrays, parts, real, first = upcoming
            windows = math.ceil(real / accumulate)
            step = self._step(phase, windows) if self._progress.wants_chunks else windows
            for start in range(0, windows, step):
                stop = min(start + step, windows)
                if report is None:
                    report = phase.empty_report(states, frozen, arrays, parts)
                arguments = {
                    "states": states,
                    "frozen": frozen,
                    "data": arrays,
                    "plans": parts,
                    "span": WindowRange.of(start, stop, count=real, first=first),
                    "reports": report,
                    "values": values,
                }
                phase.compile(self._progress, len(runs), arguments)
                begun = time.monotonic()
                states, report = phase.train(runs=len(runs), **arguments)
                meanwhile(states)
                if stop == windows:
                    upcoming = next(chunks, None)  # which is read while the device trains
                report = jax.device_get(self._layout.to_host(report))
                self._window_seconds[id(phase)] = (time.monotonic() - begun) / (stop - start)
                check_finite(report, runs[:checked], epoch, batches)
                label = f"seed {runs[0].seed}" if len(runs) == 1 else f"{len(runs)} runs"
                self._progress.bar(f"{label}  epoch {epoch}", min(first + stop * accumulate, batches), batches)
        assert report is not None  # a dataset has at least one sample
        return states, report

    def _step(self, phase: PhasePrograms, windows: int) -> int:
        """Windows between two moves of the bar: a twentieth, or as many as take half a second, since each move is a wait."""
        return min(
            windows, max(1, windows // 20, math.ceil(0.5 / max(self._window_seconds.get(id(phase), math.inf), 1e-6)))
        )


def check_finite(report: Report, runs: Sequence[Run], epoch: int, batches: int) -> None:
    """Raises TrainingStopped if a loss of one of the runs was not finite; report: of these and perhaps others behind them."""
    bad = np.flatnonzero(report.bad_batch[: len(runs)] >= 0)
    if len(bad):
        terms = [name for name, is_bad in zip(report.terms, report.bad_terms[bad[0]], strict=True) if is_bad]
        raise TrainingStopped(
            f"run {runs[bad[0]].seed}, epoch {epoch}, step {int(report.bad_batch[bad[0]]) + 1} of {batches}: "
            f"loss term {', '.join(terms)} is not finite; the last checkpoint is kept"
        )


def side_by_side(ended: np.ndarray, layout: Layout) -> np.ndarray:
    """The places that an epoch is computed for: those that have not ended, and some others, so that few sizes are compiled.

    All while more than half go on, then half, then a quarter, and so on, unless fewer runs would lie on a device if more were
    computed, since the devices do not divide every number; those that go on are first. All to the end if there are several
    processes, since a state does not move from one to another.
    """
    active, rest = np.flatnonzero(~ended), np.flatnonzero(ended)
    sizes = [len(ended)]
    while processes.count() == 1 and len(active) <= sizes[-1] // 2:
        sizes.append(sizes[-1] // 2)
    return np.concatenate([active, rest])[: min(sizes, key=lambda size: (layout.load(size), size))]
