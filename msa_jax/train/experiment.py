"""An experiment: several runs of one method on one dataset, in one folder that can be resumed, scored again and reused."""

import csv
import io
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from msa_jax import config, metrics
from msa_jax.config import Options
from msa_jax.data import load_dataset
from msa_jax.data.schema import Dataset
from msa_jax.data.subset import take_fraction
from msa_jax.errors import InputError
from msa_jax.methods.protocol import Method
from msa_jax.paths import file_name, user_path
from msa_jax.train import experiment_dir, processes
from msa_jax.train.atomic import read_json, write_arrays, write_json, write_text
from msa_jax.train.compilation import compile_seconds, keep_compiled_programs, peak_memory_mb, watch_compiler
from msa_jax.train.experiment_dir import Logs, MetricsFile, Result, Run
from msa_jax.train.prepare import prepare
from msa_jax.train.progress import Progress
from msa_jax.train.runner import Runner
from msa_jax.train.runs import use_cores
from msa_jax.train.settings import SEEDS, RunConfig, checked_seeds, resolve
from msa_jax.train.stage_data import HELD_OUT


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A finished experiment. mean, std: of each test metric over the runs; std (n - 1) is None with one run."""

    path: Path
    method: str
    dataset: str
    runs: tuple[Result, ...]
    mean: dict[str, float]
    std: dict[str, float | None]


def train(
    method: str,
    dataset: Dataset | str | Path,
    *,
    seeds: Sequence[int] = SEEDS,
    out: str | Path | None = None,
    preset: str | None = None,
    protocol: str | None = None,
    overwrite: bool = False,
    record_labels: bool = False,
    log: TextIO | None = sys.stderr,
    options: dict[str, Any] | None = None,
    **named: Any,
) -> Experiment:
    """Trains one run for each seed and writes the experiment folder; an unfinished one is resumed.

    Args:
      method: a name of `msa_jax.methods.METHODS`.
      dataset: a Dataset, or what `load_dataset` takes.
      seeds: distinct, one run each.
      out: the folder; by default `runs/{method}-{dataset}`.
      preset, protocol: as in `resolve`.
      overwrite: replace an experiment that is there.
      record_labels: keep the unimodal labels of every epoch.
      log: where progress goes; None is silent.
      options: dotted option names and values; `named` are those whose names have no dot.

    Raises:
      InputError: anything asked for that cannot be done, before anything is written; a folder that is finished, in use or of
        another configuration. TrainingStopped: a loss is not finite.
    """
    use_cores()
    watch_compiler()
    dataset = load_dataset(dataset)
    settings = resolve(method, dataset=dataset.card.name, preset=preset, protocol=protocol, options=options, **named)
    seeds = checked_seeds(seeds)
    path = user_path(out) if out is not None else Path("runs") / f"{method}-{file_name(dataset.card.name)}"
    progress = Progress(log if processes.is_primary() else None, bar=processes.count() == 1)
    progress.announce(settings, dataset, seeds, path)
    keep_compiled_programs()
    dataset = take_fraction(dataset, settings.options.train_fraction, seed=settings.options.train_fraction_seed)
    runner = prepared_runner(settings.method, settings.options, dataset, progress)
    progress.line(runner.inits.describe())
    content = RunConfig(
        method=method,
        runs_per_program=runs_per_program(runner, settings.options, len(seeds)),
        dataset=dataset.card.name,
        data=dataset.source,
        metrics=dataset.card.metrics,
        protocol=settings.protocol,
        preset=settings.preset,
        seeds=seeds,
        record_labels=record_labels,
        options=config.to_json(settings.options),
        inputs=runner.prepared.inputs,
    )

    def begin() -> None:
        if overwrite or not (path / "config.json").is_file():
            runner.inits.check_stages_from(seeds)
        if overwrite:
            experiment_dir.clear(path)
        if (path / "result.json").is_file():
            raise InputError(f"{path}: this experiment is finished; choose another --out, or --overwrite")
        experiment_dir.begin(path, content.to_json(), dataset.fingerprint())
        runner.prepared.preprocessor.save(path / "preprocessing")

    with experiment_dir.locked(path):
        processes.run_on_primary(begin)
        # Resumed on a machine with other devices, the same runs stay side by side.
        together = read_json(path / "config.json").get("runs_per_program", 1)
        return _train_all(path, replace(content, runs_per_program=together), dataset, runner, progress)


def prepared_runner(method: Method, options: Options, dataset: Dataset, progress: Progress) -> Runner:
    """Ready to train on the dataset. Raises InputError if method, options, dataset and devices do not fit together."""
    prepared = prepare(dataset, method, options)
    runner = Runner(method, options, prepared, metric_kind=dataset.card.metrics, progress=progress)
    runner.inits.check()
    return runner


def runs_per_program(runner: Runner, options: Options, runs: int) -> int:
    """How many of an experiment's runs go side by side, at most.

    Raises:
      InputError: more than one was asked for where that cannot be.
    """
    reason = runner.why_sequential()
    if options.runs_per_program == "auto":
        return 1 if reason is not None else min(runner.preferred_runs_per_program(), runs)
    if options.runs_per_program > 1 and reason is not None:
        raise InputError(f"option runs_per_program is {options.runs_per_program}: {reason}; expected 1")
    return min(options.runs_per_program, runs)


def _train_all(path: Path, content: RunConfig, dataset: Dataset, runner: Runner, progress: Progress) -> Experiment:
    begun, compiled = time.monotonic(), compile_seconds()
    runs = [
        Run(number=number, seed=seed, folder=path / "checkpoints" / str(seed))
        for number, seed in enumerate(content.seeds)
    ]
    steps = {run.number: MetricsFile(path / "steps" / f"{run.seed}.jsonl") for run in runs}

    def record(run: Run, epoch: int, arrays: Mapping[str, Any]) -> None:
        arrays = {name: np.asarray(value) for name, value in arrays.items()}
        write_arrays(path / "labels" / str(run.seed) / f"epoch_{epoch:04d}.npz", arrays)

    logs = Logs(
        metrics=MetricsFile(path / "metrics.jsonl"),
        steps=steps if content.options["record_steps"] else {},
        record=record if content.record_labels else None,
    )
    together, results = content.runs_per_program, []
    for first in range(0, len(runs), together):
        ended = runner.run(runs[first : first + together], logs)
        results += [result for result in ended if result is not None]  # none fails: the first that does stops all
    for split in HELD_OUT:
        part = dataset.splits()[split]
        scores = {str(result.seed): result.scores[split] for result in results}
        write_text(path / "predictions" / f"{split}.csv", predictions_csv(part.id, part.label, scores))
    for result in results:
        if result.records:  # the last unimodal labels of every training sample, if the method generates any
            named = {"id": np.asarray(dataset.train.id, np.str_), "label": dataset.train.label, **result.records}
            write_arrays(path / "labels" / f"{result.seed}.npz", named)
    mean, std = metrics.summarise([result.test for result in results])
    write_json(
        path / "result.json",
        {
            "method": content.method,
            "dataset": content.dataset,
            "metrics": content.metrics,
            "runs": [
                {
                    "seed": result.seed,
                    "hyperparameters": content.options,
                    "best_epoch": result.best_epoch,
                    "epochs": result.epochs,
                    "valid": result.valid,
                    "test": result.test,
                }
                for result in results
            ],
            "mean": mean,
            "std": std,
            "seconds": round(sum(line["seconds"] for line in logs.metrics.read()), 1),
            "process": {  # the last one, if several had to resume
                "peak_memory_mb": round(peak_memory_mb(), 1),
                "compile_seconds": round(compile_seconds() - compiled, 1),
            },
        },
    )
    progress.line(f"{path}: {len(results)} run{'s' * (len(results) > 1)} in {time.monotonic() - begun:.0f} s")
    return Experiment(
        path=path, method=content.method, dataset=content.dataset, runs=tuple(results), mean=mean, std=std
    )


def predictions_csv(
    ids: np.ndarray,
    label: np.ndarray | None,
    runs: Mapping[str, Mapping[str, np.ndarray]],
    *,
    text: np.ndarray | None = None,
) -> str:
    """`id`, `label` and `text` if given, then `{run}/{head}` for every run and head.

    A number is the shortest one that is the same float32; a label that is not known is empty.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    columns: dict[str, Sequence[Any]] = {"id": ids}
    if label is not None:
        columns["label"] = [shortest(value) if np.isfinite(value) else "" for value in label]
    if text is not None:
        columns["text"] = text
    for run, heads in runs.items():
        columns |= {f"{run}/{head}": [shortest(value) for value in values] for head, values in heads.items()}
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return file.getvalue()


def shortest(value: Any) -> str:
    """A number as people write it: the shortest text that is the same float32, 1.2 and not 1.2000000476837158."""
    return str(np.float32(value))
