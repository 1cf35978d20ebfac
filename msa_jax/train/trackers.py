"""Where the numbers of a training go besides metrics.jsonl: a table, TensorBoard's event files, Weights & Biases, a function.

A tracker is told of every epoch. Before a run goes on after some epoch, it is told to forget what came behind that, so that
a resumed experiment has each epoch once.
"""

import contextlib
import csv
import difflib
import importlib.util
import io
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from msa_jax.errors import InputError, first_line, install
from msa_jax.train import event_file
from msa_jax.train.atomic import read_json, write_bytes, write_text
from msa_jax.train.experiment_dir import MetricsFile, Run

NAMES = ("csv", "tensorboard", "wandb")


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """One epoch of one run.

    line: as in metrics.jsonl: seed, epoch, train {term: mean}, valid {metric: value}, seconds, and stage and weights if there
    are any. scalars: other numbers, such as learning rates. histograms: {name: [N]}, the method's records of this epoch, such
    as generated labels. Both are empty unless a tracker `measures`.
    """

    run: Run
    line: Mapping[str, Any]
    scalars: Mapping[str, float] = field(default_factory=dict)
    histograms: Mapping[str, np.ndarray] = field(default_factory=dict)

    def flat(self) -> dict[str, Any]:
        """Every number by name: "train/loss", "valid/MAE", "weights/cross", "learning_rate/text"."""
        return {**flat(self.line), **self.scalars}


@runtime_checkable
class Tracker(Protocol):
    """What is told of the epochs of an experiment. measures: whether it reads `scalars` and `histograms`."""

    measures: bool

    def begin(self, run: Run, epoch: int) -> None:
        """A run begins behind `epoch`, 0 for a new one; what was told of later epochs does not count."""
        ...

    def epoch(self, records: Sequence[EpochRecord]) -> None:
        """The same epoch of one run, or of several side by side."""
        ...

    def close(self) -> None:
        """Training has ended, or stopped by an error."""
        ...


def flat(line: Mapping[str, Any]) -> dict[str, Any]:
    """A line of metrics.jsonl with the numbers of inner objects as "train/loss"."""
    found: dict[str, Any] = {}
    for name, value in line.items():
        found |= (
            {f"{name}/{inner}": one for inner, one in value.items()} if isinstance(value, Mapping) else {name: value}
        )
    return found


class Table:
    """`metrics.csv`: the lines of metrics.jsonl as a table. An empty cell is a number that is not defined or not there."""

    measures = False

    def __init__(self, path: Path, metrics: MetricsFile):
        self._path, self._metrics = path, metrics
        self._columns: list[str] = []

    def begin(self, run: Run, epoch: int) -> None:
        """Writes the table anew from metrics.jsonl, which holds no later epoch."""
        self._write()

    def epoch(self, records: Sequence[EpochRecord]) -> None:
        """Adds rows; if they have a new column, the table is written anew."""
        rows = [flat(record.line) for record in records]
        if any(set(row) - set(self._columns) for row in rows):
            self._write()
            return
        try:
            with open(self._path, "a", encoding="utf-8", newline="") as file:
                file.write(self._text(rows))
        except OSError as error:
            raise InputError(f"{self._path}: cannot be written ({error.strerror})") from None

    def close(self) -> None:
        """Every row has been written."""

    def _write(self) -> None:
        rows = [flat(line) for line in self._metrics.read()]
        self._columns = list(dict.fromkeys(name for row in rows for name in row))
        if rows:
            write_text(self._path, self._text([{name: name for name in self._columns}, *rows]))
        else:  # of a run that begins again
            self._path.unlink(missing_ok=True)

    def _text(self, rows: Sequence[Mapping[str, Any]]) -> str:
        file = io.StringIO()
        cells = [["" if row.get(name) is None else row[name] for name in self._columns] for row in rows]
        csv.writer(file, lineterminator="\n").writerows(cells)
        return file.getvalue()


class TensorBoard:
    """`tensorboard/SEED/`: an event file for each run, which `tensorboard --logdir` reads. A step is an epoch."""

    measures = True

    def __init__(self, folder: Path):
        self._folder = folder

    def begin(self, run: Run, epoch: int) -> None:
        """Keeps what is whole and not later than `epoch`."""
        path = self._path(run)
        with contextlib.suppress(FileNotFoundError):
            kept = b"".join(event_file.records_until(path.read_bytes(), epoch))
            write_bytes(path, kept or event_file.head())
            return
        write_bytes(path, event_file.head())

    def epoch(self, records: Sequence[EpochRecord]) -> None:
        """Adds an event for each run."""
        for one in records:
            left_out = ("run", "seed", "epoch", "stage")
            scalars = {k: v for k, v in one.flat().items() if k not in left_out and isinstance(v, int | float)}
            event = event_file.event(one.line["epoch"], scalars, one.histograms)
            path = self._path(one.run)
            try:
                with open(path, "ab") as file:
                    file.write(event_file.record(event))
            except OSError as error:
                raise InputError(f"{path}: cannot be written ({error.strerror})") from None

    def close(self) -> None:
        """Every event has been written."""

    def _path(self, run: Run) -> Path:
        return self._folder / str(run.seed) / f"events.out.tfevents.{run.seed}"


class WeightsAndBiases:
    """A run of wandb for each seed, in a group for the experiment. It goes on as the same one when it is resumed.

    folder: of the experiment. config: what is shown as the configuration of each run.
    """

    measures = True

    def __init__(self, folder: Path, config: Mapping[str, Any]):
        self._folder, self._config = folder, dict(config)
        self._runs: dict[int, Any] = {}

    def begin(self, run: Run, epoch: int) -> None:
        """Opens the run, anew if it is open. wandb itself leaves out what comes a second time, which has the same values."""
        if run.seed in self._runs:
            self._runs.pop(run.seed).finish()
        known = self._folder / "wandb" / "runs.json"
        names = read_json(known) if known.is_file() else {}
        if not isinstance(names, dict):
            raise InputError(f"{known}: found {type(names).__name__}; expected the name of each run")
        names.setdefault(str(run.seed), uuid.uuid4().hex[:12])
        write_text(known, json.dumps(names, indent=1) + "\n")
        try:
            import wandb

            self._runs[run.seed] = wandb.init(
                project="msa_jax",
                group=self._folder.name,
                name=f"{self._folder.name}/{run.seed}",
                id=names[str(run.seed)],
                resume="allow",
                reinit="create_new",
                dir=str(self._folder),
                config={**self._config, "seed": run.seed},
            )
        except Exception as error:  # no key, no network, a package that it lacks
            raise InputError(f"wandb: cannot begin a run ({type(error).__name__}: {first_line(error)})") from None

    def epoch(self, records: Sequence[EpochRecord]) -> None:
        """Sends the numbers and the histograms of an epoch."""
        import wandb

        for record in records:
            numbers = {name: value for name, value in record.flat().items() if value is not None}
            shown = {name: wandb.Histogram(values) for name, values in record.histograms.items()}
            self._runs[record.run.seed].log({**numbers, **shown}, step=record.line["epoch"])

    def close(self) -> None:
        """Ends the runs."""
        while self._runs:
            self._runs.popitem()[1].finish()


class Callback:
    """Calls a function with the line of each run and epoch, as metrics.jsonl has it."""

    measures = False

    def __init__(self, function: Callable[[dict[str, Any]], object]):
        self._function = function

    def begin(self, run: Run, epoch: int) -> None:
        """The function is told of new epochs alone."""

    def epoch(self, records: Sequence[EpochRecord]) -> None:
        """Calls it once for each run."""
        for record in records:
            self._function({key: dict(v) if isinstance(v, Mapping) else v for key, v in record.line.items()})

    def close(self) -> None:
        """There is nothing to end."""


def default_names() -> tuple[str, ...]:
    """The trackers of an experiment that names none: a table, and TensorBoard's files where that is installed."""
    return ("csv", *(("tensorboard",) if importlib.util.find_spec("tensorboard") else ()))


def checked_trackers(
    trackers: Sequence[str | Tracker] | None, on_epoch: Callable[[dict[str, Any]], object] | None
) -> tuple[str | Tracker, ...]:
    """The trackers that were asked for, or the default ones, and what is called after each epoch.

    Raises:
      InputError: one is unknown, not installed, or there twice.
    """
    called = () if on_epoch is None else (Callback(on_epoch),)
    if trackers is None:
        return (*default_names(), *called)
    if isinstance(trackers, str) or not isinstance(trackers, Sequence):
        raise InputError(f"trackers is {trackers!r:.100}; expected a list of names ({', '.join(NAMES)}) or objects")
    for one in trackers:
        if isinstance(one, str):
            if one not in NAMES:
                near = difflib.get_close_matches(one, NAMES, n=1)
                expected = f"did you mean {near[0]}?" if near else f"expected some of {', '.join(NAMES)}"
                raise InputError(f"log {one!r}: {expected}")
            if one == "wandb" and importlib.util.find_spec("wandb") is None:
                raise InputError(f"log wandb needs the package wandb: {install('wandb')}")
        elif not isinstance(one, Tracker):
            raise InputError(f"trackers holds a {type(one).__name__}; expected measures, begin, epoch and close")
    names = [one for one in trackers if isinstance(one, str)]
    if len(set(names)) < len(names):
        raise InputError(f"log names {max(names, key=names.count)} twice")
    return (*trackers, *called)


def made(
    trackers: Sequence[str | Tracker], folder: Path, metrics: MetricsFile, config: Mapping[str, Any]
) -> tuple[Tracker, ...]:
    """The trackers of an experiment in its folder, those that are named and those that are given."""
    kinds: Mapping[str, Callable[[], Tracker]] = {
        "csv": lambda: Table(folder / "metrics.csv", metrics),
        "tensorboard": lambda: TensorBoard(folder / "tensorboard"),
        "wandb": lambda: WeightsAndBiases(folder, config),
    }
    return tuple(kinds[one]() if isinstance(one, str) else one for one in trackers)
