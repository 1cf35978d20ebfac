"""A sweep: many points of options, each with some seeds, ranked on valid; resumable, and no point can stop the others.

Points that differ in real numbers alone (loss weights, temperatures, rates) share their compiled programs, which take these as
arguments, and are trained side by side. Test labels take no part, and no parameters are kept: train the best point anew. Runs
that are worse than half of the others can be given up early (`pruning`).
"""

import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

from msa_jax import config, metrics
from msa_jax.config import Options
from msa_jax.data.schema import Dataset
from msa_jax.errors import InputError, OutOfMemory, one_line
from msa_jax.train import experiment_dir, experiment_start, processes
from msa_jax.train.asked import SWEEP_SEEDS, checked_dataset, checked_seeds, results_folder
from msa_jax.train.atomic import read_json, write_json
from msa_jax.train.compilation import keep_compiled_programs
from msa_jax.train.experiment import prepared_runner
from msa_jax.train.experiment_dir import Logs, MetricsFile, Result, Run
from msa_jax.train.in_parts import train_in_parts
from msa_jax.train.prepare import settled_format, used_part, with_format
from msa_jax.train.progress import Progress
from msa_jax.train.pruning import MedianStopping, Prune
from msa_jax.train.runner import Runner
from msa_jax.train.runs import use_cores
from msa_jax.train.search_space import Draw, Point, grid_values, make_points
from msa_jax.train.settings import Settings, protocol_options, resolve

MARK = "sweep.json"  # what makes a folder that of a sweep


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """A point. number: in the order of the sweep. runs: those that ended well, {"seed", "best_epoch", "epoch", "valid"}.

    failed: {seed: why}. mean, std: of the metrics on valid over the runs; empty where one failed. pruned: {seed: {"epoch",
    "best", "median"}} of the runs that were given up after an epoch, where their best was worse than that median.
    """

    number: int
    point: Point
    runs: tuple[Mapping[str, Any], ...]
    failed: Mapping[int, str]
    mean: Mapping[str, float | None]
    std: Mapping[str, float | None]
    pruned: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A finished sweep. ranking: the best first; points with a run that was given up behind the others, failed ones last."""

    path: Path
    method: str
    dataset: str
    rank_by: str
    ranking: tuple[Ranked, ...]

    @property
    def best(self) -> Ranked | None:
        """The best point; None where all have failed."""
        return self.ranking[0] if self.ranking[0].mean else None


def sweep(
    method: str,
    dataset: Dataset | str | Path,
    *,
    grid: Mapping[str, Sequence[Any]] | None = None,
    draws: Mapping[str, Draw] | None = None,
    points: int | None = None,
    draw_seed: int = 0,
    seeds: Sequence[int] = SWEEP_SEEDS,
    rank_by: str = "MAE",
    prune: Prune | bool = False,
    out: str | Path | None = None,
    preset: str | None = None,
    protocol: str | None = None,
    overwrite: bool = False,
    log: TextIO | None = sys.stderr,
    options: Mapping[str, Any] | None = None,
    **named: Any,
) -> Sweep:
    """Trains every point with every seed and ranks the points on valid; an unfinished sweep is resumed.

    Args:
      grid: {option: values}; draws: {option: range}; points, draw_seed: as in `make_points`.
      rank_by: a metric of the dataset, on valid, averaged over seeds.
      prune: give up runs that are worse by `rank_by` than the median of the others: True, or a `Prune` that says when.
      out: the folder; by default `runs/sweep-{method}-{dataset}`. In it: `ranking.json`, `best.json`, a preset,
        `results.jsonl`, a line for each run, and `metrics.jsonl`, a line for each of its epochs.
      others: as in `train`.

    Raises:
      InputError: anything asked for that cannot be done, before anything is written; a folder of another sweep; every point
        failed, after the ranking is written.
    """
    use_cores()
    processes.check_alone("a sweep")
    dataset = checked_dataset(dataset)
    settings = resolve(method, dataset=dataset.card.name, preset=preset, protocol=protocol, options=options, **named)
    seeds = checked_seeds(seeds)
    if rank_by not in metrics.METRIC_KEYS[dataset.card.metrics]:
        raise InputError(
            f"rank_by is {rank_by!r}; expected one of {', '.join(metrics.METRIC_KEYS[dataset.card.metrics])}"
        )
    if not isinstance(prune, Prune | bool):
        raise InputError(f"prune is {prune!r}; expected True, False or a Prune")
    rule = (Prune() if prune else None) if isinstance(prune, bool) else prune
    values = {option: grid_values(option, given, settings.options) for option, given in (grid or {}).items()}
    found = make_points(values, draws or {}, count=points, seed=draw_seed)
    path = results_folder(out, method, dataset, "sweep-")
    precision = settled_format(settings.options, None if overwrite else path / MARK)
    computed = replace(settings, options=with_format(settings.options, precision))
    resolved = [config.override(computed.options, point) for point in found]
    content = {
        "method": method,
        "dataset": dataset.card.name,
        "data": dataset.source,
        "protocol": settings.protocol,
        "preset": settings.preset,
        "options": config.to_json(settings.options),
        "precision": precision,
        "seeds": list(seeds),
        "rank_by": rank_by,
        "prune": None if rule is None else asdict(rule),
        "points": [{name: config.plain(value) for name, value in point.items()} for point in found],
    }
    progress = Progress(log)
    keep_compiled_programs()
    with experiment_dir.locked(path, MARK):
        if overwrite:
            experiment_start.clear(path, MARK)
        defaults = config.to_json(settings.method.options())
        experiment_start.begin(path, content, dataset.fingerprint(), kind="sweep", mark=MARK, defaults=defaults)
        begun = time.monotonic()
        stopping = None if rule is None else MedianStopping(rule, rank_by)
        failures = _Points(path, computed, dataset, found, resolved, seeds, progress, stopping).train()
        ranking = _rank(path, found, seeds, rank_by, failures)
        _write(path, content, settings, ranking)
        if not any(one.mean for one in ranking):
            reasons = dict.fromkeys(reason for one in ranking for reason in one.failed.values())
            raise InputError(f"{path}: every point failed: {'; '.join([*reasons][:3])}")
        progress.line(f"{path}: {len(found)} points in {time.monotonic() - begun:.0f} s")
    return Sweep(path=path, method=method, dataset=dataset.card.name, rank_by=rank_by, ranking=ranking)


class _Points:
    """Trains what is not trained yet."""

    def __init__(
        self,
        path: Path,
        settings: Settings,
        dataset: Dataset,
        points: Sequence[Point],
        resolved: Sequence[Options],
        seeds: Sequence[int],
        progress: Progress,
        stopping: MedianStopping | None,
    ):
        self._path, self._settings, self._dataset, self._progress = path, settings, dataset, progress
        self._stopping = stopping
        self._points, self._resolved, self._seeds = points, resolved, seeds
        self._results = MetricsFile(path / "results.jsonl")
        self._logs = Logs(metrics=MetricsFile(path / "metrics.jsonl"))
        self._last: tuple[Options, Runner] | None = None
        self._failures: dict[int, str] = {}
        self._done: set[int] = set()  # the numbers of runs that have ended, and were written down

    def train(self) -> Mapping[int, str]:
        """Returns {number of a run: why} of those that could not begin, or had too little memory. They are not kept: another
        time they may.

        Raises:
          InputError: no run of any point can begin.
        """
        self._results.rewind(run=-1, epoch=0)  # no run: only a line that was not finished
        self._done = {line["run"] for line in self._results.read()}
        taken = self._arguments()
        alike: dict[tuple[Any, ...], list[int]] = {}
        for number, point in enumerate(self._points):
            key = tuple(value for name, value in point.items() if name not in taken)
            alike.setdefault(key, []).append(number)
        for numbers in alike.values():
            runs = [self._run(number, place, taken) for number in numbers for place in range(len(self._seeds))]
            if any(run.number not in self._done for run in runs):
                self._train(runs, self._resolved[numbers[0]])
        if len(self._failures) == len(self._points) * len(self._seeds):
            raise InputError(f"no point can be trained: {self._failures[0]}")
        shutil.rmtree(self._path / "checkpoints", ignore_errors=True)
        return self._failures

    def _run(self, number: int, place: int, taken: frozenset[str]) -> Run:
        seed = self._seeds[place]
        return Run(
            number=number * len(self._seeds) + place,
            seed=seed,
            folder=self._path / "checkpoints" / f"{number}-{seed}",
            values={name: float(value) for name, value in self._points[number].items() if name in taken},
        )

    def _train(self, runs: Sequence[Run], options: Options) -> None:
        """Runs of points that share their programs."""
        try:
            runner = self._runner(options)
            together = self._side_by_side(runner, runs)
        except InputError as error:
            self._fail(runs, error)
            return

        def train(part: Sequence[Run]) -> list[Result | None]:
            self._progress.line(
                f"runs {part[0].number + 1} to {part[-1].number + 1} of {len(self._points) * len(self._seeds)}"
            )
            try:
                results = runner.run(part, self._logs, keep=False, stopping=self._stopping)
            except OutOfMemory as error:
                if error.runs is not None:
                    for run in part:  # they begin again, and no other is compared with this try of theirs
                        self._logs.metrics.rewind(run.number, 0)
                    raise
                self._fail(part, error)
                self._progress.line(f"failed: {one_line(error)}")
                return [None] * len(part)
            self._record(part, results)
            return results

        train_in_parts(
            runs,
            together,
            train,
            done=lambda run: run.number in self._done,
            load=lambda run: None,
            fewer=lambda number: self._write_together(runs, number),
        )

    def _fail(self, runs: Sequence[Run], error: InputError) -> None:
        self._failures |= {run.number: str(error) for run in runs if run.number not in self._done}

    def _write_together(self, runs: Sequence[Run], number: int) -> None:
        """Writes down how many of these runs go side by side."""
        content, first = read_json(self._path / MARK), str(runs[0].number)
        together = {**content.get("together", {}), first: number}
        asked = {**content.get("together_asked", {}), first: self._settings.options.runs_per_program}
        write_json(self._path / MARK, {**content, "together": together, "together_asked": asked})

    def _side_by_side(self, runner: Runner, runs: Sequence[Run]) -> int:
        """As many as before if they were interrupted: beside others, other runs would be given up."""
        content, first = read_json(self._path / MARK), str(runs[0].number)
        before, asked = (content.get(key, {}).get(first) for key in ("together", "together_asked"))
        now = runner.together(len(runs), before)
        if before is not None and asked == self._settings.options.runs_per_program:
            now = min(now, before)  # more may have had no room
        if before not in (now, None):  # runs that were not finished begin again, beside others
            for run in runs:
                if run.number not in self._done:
                    self._logs.metrics.rewind(run.number, 0)
            shutil.rmtree(self._path / "checkpoints", ignore_errors=True)
        if before != now:
            self._write_together(runs, now)
        return now

    def _record(self, runs: Sequence[Run], results: Sequence[Result | None]) -> None:
        lines = []
        for run, result in zip(runs, results, strict=True):
            line: dict[str, Any] = {
                "run": run.number,
                "epoch": 0,
                "point": run.number // len(self._seeds),
                "seed": run.seed,
            }
            if result is None:
                lines.append({**line, "failed": "a loss or a prediction was not finite"})
            else:
                line |= {"epoch": result.epochs, "best_epoch": result.best_epoch, "valid": result.valid}
                pruned = None if self._stopping is None else self._stopping.pruned.get(run.number)
                lines.append(line if pruned is None else {**line, "pruned": pruned._asdict()})
        self._results.append(*lines)
        self._done |= {run.number for run in runs}

    def _runner(self, options: Options) -> Runner:
        """The last one again where it fits: it may have run a text encoder over the dataset."""
        if self._last is not None and self._last[0] == options:
            return self._last[1]
        self._last = None
        dataset = used_part(self._dataset, options)
        self._last = options, prepared_runner(self._settings.method, options, dataset, self._progress)
        return self._last[1]

    def _arguments(self) -> frozenset[str]:
        """The options that programs take as arguments; each other value needs programs of its own."""
        real = [name for name in self._points[0] if all(isinstance(point[name], float) for point in self._points)]
        try:
            return self._runner(self._resolved[0]).traceable_options(real) if real else frozenset()
        except InputError:  # this point cannot be; others may
            return frozenset()


def _rank(
    path: Path, points: Sequence[Point], seeds: Sequence[int], rank_by: str, failures: Mapping[int, str]
) -> tuple[Ranked, ...]:
    """failures: {number of a run: why}, besides those that `results.jsonl` has."""
    lines = MetricsFile(path / "results.jsonl").read()
    ranked = []
    for number, point in enumerate(points):
        own = {
            seed: {"failed": failures[run]}
            for run, seed in enumerate(seeds, start=number * len(seeds))
            if run in failures
        }
        own |= {line["seed"]: line for line in lines if line["point"] == number}
        runs = [own[seed] for seed in seeds if "valid" in own[seed]]
        failed = {seed: own[seed]["failed"] for seed in seeds if "failed" in own[seed]}
        mean, std = ({}, {}) if failed else metrics.summarise([run["valid"] for run in runs])
        if mean and mean[rank_by] is None:
            failed, mean, std = {seeds[0]: f"{rank_by} is not defined"}, {}, {}
        pruned = {run["seed"]: run["pruned"] for run in runs if "pruned" in run}
        shown = tuple({key: run[key] for key in ("seed", "best_epoch", "epoch", "valid")} for run in runs)
        ranked.append(Ranked(number=number, point=point, runs=shown, failed=failed, mean=mean, std=std, pruned=pruned))
    sign = -1 if metrics.HIGHER_IS_BETTER[rank_by] else 1

    def place(one: Ranked) -> tuple[Any, ...]:
        return not one.mean, bool(one.pruned), sign * one.mean[rank_by] if one.mean else 0, one.number

    return tuple(sorted(ranked, key=place))


def _write(path: Path, content: Mapping[str, Any], settings: Settings, ranking: Sequence[Ranked]) -> None:
    listed = [
        {
            "point": one.number,
            "options": {name: config.plain(value) for name, value in one.point.items()},
            "mean": one.mean,
            "std": one.std,
            "runs": list(one.runs),
            "failed": {str(seed): why for seed, why in one.failed.items()},
            "pruned": {str(seed): dict(why) for seed, why in one.pruned.items()},
        }
        for one in ranking
    ]
    about = {key: content[key] for key in ("method", "dataset", "seeds", "rank_by", "prune")}
    write_json(path / "ranking.json", {**about, "split": "valid", "points": listed})
    if ranking[0].mean:
        base = config.to_json(protocol_options(settings.method, settings.protocol))
        best = config.to_json(config.override(settings.options, ranking[0].point))
        changed = {name: value for name, value in best.items() if value != base[name]}
        write_json(path / "best.json", {"method": content["method"], "protocol": settings.protocol, "options": changed})
