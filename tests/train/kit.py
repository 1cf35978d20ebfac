"""What the engine's tests share: single steps, interrupted experiments, and what is read from a folder."""

import contextlib
import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.config import override
from msa_jax.data.batches import Plan, epoch_plan, ordered_plan
from msa_jax.data.schema import Dataset
from msa_jax.methods import METHODS
from msa_jax.methods.protocol import Method
from msa_jax.train.epoch import WindowRange
from msa_jax.train.epoch_trainer import EpochTrainer
from msa_jax.train.experiment import train
from msa_jax.train.experiment_dir import Run
from msa_jax.train.optimiser import _Layout
from msa_jax.train.predictor import Predictor
from msa_jax.train.prepare import prepare
from msa_jax.train.report import Report
from msa_jax.train.runner import Runner
from msa_jax.train.state import RunState, TrainState
from tests.tiny import TOY_QUICK, tiny_dataset

AUDIO = tiny_dataset(modalities=("audio",))
STILL = {"learning_rate.audio": 0.0, "learning_rate.other": 0.0}  # nothing moves


@contextlib.contextmanager
def registered(method: Method) -> Iterator[Method]:
    """The method is known by its name; then the one that had the name before, if any, is again."""
    with METHODS.held(method):
        yield method


@contextlib.contextmanager
def seen_plans() -> Iterator[list[tuple[int, int, Plan]]]:
    """The seed, the number and the plan of every epoch that is trained in the meantime."""
    plans: list[tuple[int, int, Plan]] = []

    def spied(*arguments: Any, **named: Any) -> Plan:
        plans.append((named["seed"], named["epoch"], epoch_plan(*arguments, **named)))
        return plans[-1][-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("msa_jax.train.epoch_trainer.epoch_plan", spied)
        yield plans


def runner_of(method: Method, dataset: Dataset, options: Mapping[str, Any]) -> Runner:
    """A runner of the method at its defaults and these options."""
    resolved = override(method.options(), options)
    return Runner(method, resolved, prepare(dataset, method, resolved), metric_kind=dataset.card.metrics)


def run_of(seed: int, folder: Path = Path("nowhere")) -> Run:
    """The only run of an experiment."""
    return Run(number=0, seed=seed, folder=folder / str(seed))


@dataclass(frozen=True)
class Device:
    """A device that is not there."""

    id: int
    process_index: int


def devices(*counts: int) -> tuple[Device, ...]:
    """So many of each process."""
    owners = [process for process, count in enumerate(counts) for _ in range(count)]
    return tuple(Device(number, process) for number, process in enumerate(owners))


# -- single steps -----------------------------------------------------------------------------------------------------


class Bench:
    """One phase of a method on one dataset, walked by the programs that experiments are trained with, a run or R at once.

    initial: what a run begins with. plan: the mini-batches of an epoch, in the order of the dataset if nothing is packed.
    """

    def __init__(self, method: Method, dataset: Dataset, options: Mapping[str, Any], *, stage: int = 0, phase: int = 0):
        self.inits = runner_of(method, dataset, options).inits
        self.stage, self.programs = stage, self.inits.stages[stage]
        self.phase = self.programs.phases[phase]
        self.options = self.programs.options
        self.initial = self.inits.initial(run_of(0))
        self.params = self.initial.variables.params
        data = self.inits.read(stage, [self.initial])
        self.columns, self.frozen, self.scorer = data.train.columns, data.frozen.on(1), data.scorer
        rows, size, capacity = len(self.columns["label"]), self.options.batch_size, self.phase.walk.planned
        if data.lengths is None or capacity is None or "ids" not in self.columns["text"]:
            self.plan = ordered_plan(np.arange(rows), size)
        else:  # packed text does not fit in every order
            self.plan = epoch_plan(rows, size, seed=0, epoch=1, lengths=data.lengths, capacity=capacity)

    def state(self, **changes: Any) -> TrainState:
        """The state [1, ...] of a run before its first step, in buffers of its own."""
        state = self.inits.state([run_of(1)], self.stage, [self.initial], epochs=np.zeros(1, np.int32)).train
        return state.replace(
            **{name: jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], new) for name, new in changes.items()}
        )

    def walk(
        self,
        state: TrainState | None = None,
        *,
        plan: Plan | None = None,
        start: int = 0,
        stop: int | None = None,
        count: int | None = None,
        first: int = 0,
        report: Report | None = None,
    ) -> tuple[TrainState, Report]:
        """Windows of an epoch: the state and the report [1, ...] after them. `state` is used up.

        plan: by default that of the whole epoch. start, stop: windows. count: its mini-batches that are real. first:
        the number in the epoch of its first mini-batch. report: of the windows before.
        """
        plan = self.plan if plan is None else plan
        windows = -(-len(plan) // self.options.accumulate)
        state = self.state() if state is None else state
        data, plans = jax.device_put(self.columns), jax.tree.map(lambda leaf: leaf[None], plan)
        if report is None:
            report = self.phase.empty_report(state, self.frozen, data, plans)
        return self.phase.train(
            runs=1,
            states=state,
            frozen=self.frozen,
            data=data,
            plans=plans,
            span=WindowRange.of(start, windows if stop is None else stop, count=count or len(plan), first=first),
            reports=report,
            values={},
        )

    def first_gradient(self, state: TrainState) -> dict[str, np.ndarray]:
        """The gradient of the first update, out of Adam's first moment: 0.1 of it."""
        moments = alone(state).optimiser[self.phase.phase.name].mu
        return {path: np.asarray(value) / 0.1 for path, value in self.parted(moments).items()}

    def parted(self, moments: Mapping[str, Any]) -> dict[str, Any]:
        """What the optimiser keeps of each parameter, by path."""
        assigned = self.phase.walk.assigned
        return _Layout({path: self.params[path] for path in assigned}, assigned).part(moments)


def alone(tree: Any) -> Any:
    """A tree [1, ...] of one run without that axis, as numpy arrays; a key as its numbers."""

    def one(leaf: Any) -> np.ndarray:
        if isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        return np.asarray(leaf)[0]

    return jax.tree.map(one, tree)


def assert_equal(one: Any, other: Any) -> None:
    """Two trees hold the same arrays, bit for bit."""
    jax.tree.map(np.testing.assert_array_equal, one, other)


# -- what lies in a folder --------------------------------------------------------------------------------------------


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The lines of a file of JSON lines, or of the metrics in an experiment's folder."""
    file = path / "metrics.jsonl" if path.is_dir() else path
    return [json.loads(line) for line in file.read_text().splitlines()]


def csv_of(folder: Path, split: str) -> tuple[list[str], dict[str, list[str]]]:
    """The header and the columns of an experiment's predictions."""
    with open(folder / "predictions" / f"{split}.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    return rows[0], {name: [row[column] for row in rows[1:]] for column, name in enumerate(rows[0])}


def kept_params(experiment: Path, seed: int = 1) -> Mapping[str, np.ndarray]:
    """The parameters of a finished run, by path."""
    return Predictor.load(experiment).variables[seed].params


def outcome(folder: Path) -> dict[str, Any]:
    """Everything that a resumed experiment must have in common with a straight one."""
    result = json.loads((folder / "result.json").read_text())
    assert result.pop("seconds") >= 0
    assert result.pop("process").keys() == {"peak_memory_mb", "compile_seconds"}
    arrays = {}
    for path in sorted(folder.rglob("*.npz")):
        with np.load(path, allow_pickle=False) as file:
            arrays |= {f"{path.relative_to(folder)}/{name}": file[name].tobytes() for name in file.files}
    return {
        "result": result,
        "lines": [{**line, "seconds": 0} for line in lines_of(folder)],
        "csv": {path.name: path.read_bytes() for path in (folder / "predictions").iterdir()},
        "arrays": arrays,
        "steps": {path.name: path.read_bytes() for path in (folder / "steps").glob("*")},
    }


# -- interrupted experiments ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def room_for(most: int, *, epoch: int = 1) -> Iterator[None]:
    """A device that has memory for so many runs side by side, and from this epoch on for no more."""
    original = EpochTrainer.train

    def train(self: EpochTrainer, runs: Sequence[Run], state: RunState, *rest: Any, **named: Any) -> Any:
        if len(runs) > most and int(state.standing.epochs.max()) + 1 >= epoch:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 12345 bytes.\nmore")
        return original(self, runs, state, *rest, **named)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(EpochTrainer, "train", train)
        yield


class Interrupting:
    """A log in which the n-th line of an epoch is never finished."""

    def __init__(self, epochs: int):
        self._left = epochs

    def isatty(self) -> bool:
        return False

    def write(self, text: str) -> None:
        if "epoch" in text:
            self._left -= 1
            if self._left == 0:
                raise KeyboardInterrupt

    def flush(self) -> None:
        pass


def interrupt_and_resume(folder: Path, at: list[int], begin: Callable[[Any], Any]) -> dict[str, Any]:
    """The outcome of an experiment that `begin(log)` starts and that is interrupted in those epochs (of each attempt)."""
    for epochs in at:
        with contextlib.suppress(KeyboardInterrupt):
            begin(Interrupting(epochs))
        assert not (folder / "result.json").exists()
    begin(None)
    return outcome(folder)


def toy_experiment(
    folder: Path, dataset: Dataset = AUDIO, *, method: str = "toy", seeds: tuple[int, ...] = (3, 4), **options: Any
) -> Callable[[Any], Any]:
    """Takes a log, and starts or resumes an experiment of the toy method with a checkpoint after every epoch."""
    options = {**TOY_QUICK, "checkpoint_epochs": 1, "max_epochs": 5, "runs_per_program": 1, **options}
    return lambda log: train(method, dataset, seeds=seeds, out=folder, log=log, options=options, record_labels=True)
