"""What lies in an experiment folder: who may write it, its lines of metrics, and results of finished runs."""

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from msa_jax import json_text
from msa_jax.errors import InputError, Unavailable
from msa_jax.train import processes
from msa_jax.train.atomic import read_arrays, read_json, without_nan, write_arrays, write_json, write_text
from msa_jax.whole_files import whole_name

if TYPE_CHECKING:
    from msa_jax.train.trackers import Tracker

# Of the folders that this version writes; a higher number for what older versions cannot read. 2: runs may share parameters.
FORMAT = 2
LOCK = ".lock"
_COUNTS = ("seed", "best_epoch", "epochs")  # of the result of a run
# What lies in the folder of an experiment or a sweep.
_NAMES = (
    "config.json environment.json metrics.jsonl result.json predictions checkpoints labels steps preprocessing "
    "sweep.json results.jsonl ranking.json best.json figure.png figure.svg figure.pdf metrics.csv tensorboard wandb curves.png "
    "report.html"
)
WRITTEN = frozenset(_NAMES.split())


@contextlib.contextmanager
def locked(folder: Path, mark: str = "config.json") -> Iterator[None]:
    """Holds the folder; the system lets go of it when the process ends, however it ends.

    Where no experiment was begun in it, nothing of the lock stays behind. mark: the file that tells it was.

    Raises:
      InputError: another process holds it, or it cannot be made, or checkpoints cannot be written in it.
    """
    held = contextlib.ExitStack()
    with held:
        processes.run_on_primary(lambda: held.enter_context(_locked(folder, mark)))
        yield


@contextlib.contextmanager
def _locked(folder: Path, mark: str) -> Iterator[None]:
    if set("*?[") & set(str(folder.absolute())):
        # orbax takes these for patterns, finds no files of its own, and writes a checkpoint without contents.
        raise InputError(f"{folder}: its full path holds one of * ? [, under which no checkpoint can be written")
    lock, existed = folder / LOCK, folder.is_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(lock, "a")  # noqa: SIM115 - held open for as long as the lock
    except OSError as error:
        raise Unavailable(f"{folder}: cannot be written ({error.strerror})") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(file.fileno()), os.stat(lock)):  # removed by its holder, and made anew
                raise BlockingIOError
        except (BlockingIOError, FileNotFoundError):
            raise Unavailable(f"{folder}: another process is writing this experiment") from None
        except OSError as error:  # such as a network file system that is mounted without locks
            raise Unavailable(
                f"{folder}: its file system keeps no locks ({error.strerror}), so two trainings could write one folder; choose "
                "an --out on another"
            ) from None
        try:
            yield
        finally:
            if not (folder / mark).is_file():
                lock.unlink(missing_ok=True)
                if not existed:
                    with contextlib.suppress(OSError):
                        folder.rmdir()


def holds_other_things(folder: Path, mark: str = "config.json") -> bool:
    """Whether there is anything but an experiment, or what an experiment that was killed while it began left behind."""
    if (folder / mark).is_file():
        return False
    return any(path.name != "environment.json" and not path.name.startswith(".") for path in folder.iterdir())


def is_ours(mark: Path) -> bool:
    """Whether a file tells of an experiment or a sweep: other software has a `config.json` too."""
    content = _object(mark)
    return set(content) >= {"method", "protocol", "dataset", "seeds"} and isinstance(content.get("options"), dict)


def has_keys(path: Path, *keys: str) -> bool:
    """Whether a file is a JSON object with these keys, so that it can be told from what others name so."""
    return set(_object(path)) >= set(keys)


def _object(path: Path) -> dict[str, Any]:
    """What a JSON file holds; nothing if it is none, or no object."""
    with contextlib.suppress(InputError):
        return content if isinstance(content := read_json(path), dict) else {}
    return {}


def check_not_ours(path: Path) -> None:
    """Raises InputError if a file to write is one that an experiment or a sweep writes, or lies among such files."""
    whole = path.resolve()
    for folder in whole.parents:
        name = whole.relative_to(folder).parts[0]
        own = name == LOCK or whole_name(name) in WRITTEN
        if own and any(is_ours(folder / mark) for mark in ("config.json", "sweep.json")):
            raise InputError(f"{path}: the experiment in {folder} writes this itself; choose another file")


class MetricsFile:
    """JSON lines, each with its "run" and "epoch": `metrics.jsonl`, a line for each epoch, and `steps/SEED.jsonl`, several."""

    def __init__(self, path: Path):
        self._path = path

    def rewind(self, run: int, epoch: int) -> None:
        """Drops what a killed process wrote of this run after `epoch`, and a line that it did not finish."""
        kept = [line for line in self.read() if line["run"] != run or line.get("epoch", 0) <= epoch]
        write_text(self._path, "".join(json.dumps(line) + "\n" for line in kept))

    def append(self, *lines: Mapping[str, Any]) -> None:
        """Adds lines at the end. InputError where they cannot be written; `rewind` drops a part of them that was."""
        if not processes.is_primary():
            return
        try:
            with open(self._path, "a", encoding="utf-8") as file:
                file.writelines(json.dumps(without_nan(line)) + "\n" for line in lines)
        except OSError as error:
            raise Unavailable(f"{self._path}: cannot be written ({error.strerror})") from None

    def read(self) -> list[dict[str, Any]]:
        """Every line that is whole. InputError if one is not of a run, or the file cannot be read."""
        if not self._path.exists():
            return []
        lines = []
        for number, text in enumerate(self._path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
            try:
                line = json_text.parse(text)
            except ValueError:
                continue
            lines.append(_checked_line(line, f"{self._path}: line {number}"))
        return lines


def _checked_line(line: Any, where: str) -> dict[str, Any]:
    whole = isinstance(line, dict) and _is_count(line.get("run")) and _is_count(line.get("epoch", 0))
    if not whole or not isinstance(line.get("seconds", 0), int | float):
        raise InputError(f"{where}: not of a run")
    return line


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


# -- runs -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of an experiment.

    number: in the experiment. folder: of its result and checkpoints. values: options, by name, that differ from those of
    the experiment: floats that a program takes as arguments.
    """

    number: int
    seed: int
    folder: Path
    values: Mapping[str, float] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether it has ended and left its result."""
        return (self.folder / "result.json").is_file()


@dataclass(frozen=True, kw_only=True)
class Logs:
    """Where runs write while they train.

    metrics: a line for each run and epoch. steps: {run: lines of every few mini-batches}, empty if none are recorded.
    record: takes a run, an epoch and the method's records {name: [N]}; None if they are not asked for.
    trackers: are told of every epoch, once its line is written.
    """

    metrics: MetricsFile
    steps: Mapping[int, MetricsFile] = field(default_factory=dict)
    record: Callable[[Run, int, Mapping[str, Any]], None] | None = None
    trackers: Sequence["Tracker"] = ()

    @property
    def measures(self) -> bool:
        """Whether a tracker reads more than the lines, which the devices of one process can be asked for."""
        return any(tracker.measures for tracker in self.trackers) and processes.count() == 1

    def rewind(self, run: Run, epoch: int) -> None:
        """Drops what a killed process wrote of this run after `epoch`."""
        for log in (self.metrics, self.steps.get(run.number)):
            if log is not None:
                log.rewind(run.number, epoch)
        for tracker in self.trackers:
            tracker.begin(run, epoch)


@dataclass(frozen=True, kw_only=True)
class Result:
    """A finished run. scores: {split: {head: [N]}}; valid, test: metrics of `prediction`; best_epoch over all stages;
    records: the method's last, {name: [N]}."""

    seed: int
    best_epoch: int
    epochs: int
    valid: dict[str, float]
    test: dict[str, float]
    scores: dict[str, dict[str, np.ndarray]]
    records: dict[str, np.ndarray]


def save_result(folder: Path, result: Result) -> None:
    """Writes the scores, the method's last records, and at last what says that the run is finished."""
    scores = {f"{split}/{head}": array for split, heads in result.scores.items() for head, array in heads.items()}
    write_arrays(folder / "scores.npz", scores)
    write_arrays(folder / "records.npz", result.records)
    content = {name: value for name, value in vars(result).items() if name not in ("scores", "records")}
    write_json(folder / "result.json", content)


def load_result(folder: Path) -> Result:
    """The result that a finished run left in its folder.

    Raises:
      InputError: a file is not the one that `save_result` wrote, as far as can be told.
    """
    path, content = folder / "result.json", read_json(folder / "result.json")
    if not isinstance(content, dict) or not all(_is_count(content.get(name)) for name in _COUNTS):
        raise InputError(f"{path}: not the result of a run; expected {', '.join(_COUNTS)}")
    measured = {split: _checked_metrics(content.get(split), f"{path}: {split}") for split in ("valid", "test")}
    scores: dict[str, dict[str, np.ndarray]] = {}
    for name, array in read_arrays(folder / "scores.npz").items():
        split, _, head = name.partition("/")
        if not head or array.ndim != 1 or array.dtype.kind != "f":
            raise InputError(f"{folder / 'scores.npz'}: {name} is not scores of a split")
        scores.setdefault(split, {})[head] = array
    if not all("prediction" in scores.get(split, {}) for split in measured):
        raise InputError(f"{folder / 'scores.npz'}: no predictions of valid and test")
    counts = {name: content[name] for name in _COUNTS}
    return Result(**counts, **measured, scores=scores, records=read_arrays(folder / "records.npz"))


def _checked_metrics(found: Any, where: str) -> dict[str, float]:
    """The metrics of a split; None for what is not defined."""
    numbers = (int, float, type(None))
    if not isinstance(found, dict) or any(
        isinstance(one, bool) or not isinstance(one, numbers) for one in found.values()
    ):
        raise InputError(f"{where}: expected a number or null for each metric")
    return found
