"""An experiment: several runs of one method on one dataset, in one folder that can be resumed, scored again and reused."""

import contextlib
import math
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import jax
import numpy as np

from msa_jax import config, metrics
from msa_jax.config import Options
from msa_jax.data.schema import HELD_OUT, Dataset
from msa_jax.errors import InputError
from msa_jax.methods.protocol import Method
from msa_jax.paths import user_path
from msa_jax.train import compilation, experiment_dir, experiment_start, processes
from msa_jax.train.asked import SEEDS, Asked, checked_dataset, checked_seeds, results_folder
from msa_jax.train.atomic import write_arrays
from msa_jax.train.checkpoint import STATE
from msa_jax.train.experiment_dir import Logs, MetricsFile, Result, Run, load_result
from msa_jax.train.experiment_results import check_rows, write_results
from msa_jax.train.in_parts import train_in_parts
from msa_jax.train.prepare import (
    check_preprocessing,
    prepare,
    save_preprocessing,
    settled_format,
    unread,
    used_part,
    with_format,
)
from msa_jax.train.progress import Progress
from msa_jax.train.runner import Runner
from msa_jax.train.runs import use_cores
from msa_jax.train.settings import RunConfig, Settings, resolve
from msa_jax.train.stage_data import resolve_stages
from msa_jax.train.trackers import Tracker, checked_trackers, made


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
    keep_state: bool = False,
    with_text: bool = False,
    log: TextIO | None = sys.stderr,
    trackers: Sequence[str | Tracker] | None = None,
    on_epoch: Callable[[dict[str, Any]], object] | None = None,
    said: Collection[str] = (),
    options: dict[str, Any] | None = None,
    **named: Any,
) -> Experiment:
    """Trains one run for each seed and writes the experiment folder.

    An unfinished experiment in that folder is resumed, and ends as if it had never been interrupted.

    Args:
      method: Name of a method, one of `msa_jax.methods.METHODS`.
      dataset: A `Dataset`, or what `load_dataset` takes: "synthetic", a folder, a file or a TFDS name.
      seeds: Distinct whole numbers in [0, 2^32), one run each.
      out: The experiment folder, by default `runs/{method}-{dataset}`.
      preset: Name or file of a preset, or "none". By default the preset `{method}_{dataset}`, if there is one.
      protocol: "paper", the published equations, or "reference", the authors' code. By default the preset's, or "paper".
      overwrite: Whether an experiment that is there is replaced.
      record_labels: Whether the unimodal labels of every epoch are kept.
      keep_state: Whether the last state of every run is kept, four times the size of the parameters, so that `resume` goes
        on from there to more epochs.
      with_text: Whether the tables of predictions show the text of each sample.
      log: Stream that progress is written to. None is silent.
      trackers: Where numbers go besides metrics.jsonl: "csv", "tensorboard", "wandb", or objects of the form of
        `msa_jax.train.trackers.Tracker`. By default csv, and tensorboard if that is installed.
      on_epoch: Called with the line of metrics.jsonl of each run after each of its epochs. What it raises stops training.
      said: Lines that are not written to `log`, because the command has said them before JAX was loaded.
      options: Values of options by their dotted names, such as {"learning_rate.text": 2e-5}.
      named: Options whose names have no dot, such as `batch_size=16`. `msa-jax methods METHOD` explains all options.

    Returns:
      The experiment: its folder, its runs with their scores on valid and test, and mean and standard deviation over runs.

    Raises:
      InputError: Something that was asked for cannot be done, which is said before anything is written; or the folder is
        finished, in use, or of another configuration.
      TrainingStopped: A loss is not finite, or a device has too little memory (`OutOfMemory`). The last checkpoint stays.
    """
    use_cores()
    compilation.watch_compiler()
    dataset = checked_dataset(dataset)
    settings = resolve(method, dataset=dataset.card.name, preset=preset, protocol=protocol, options=options, **named)
    seeds = checked_seeds(seeds)
    path = results_folder(out, method, dataset)
    progress = Progress(log if processes.is_primary() else None, bar=processes.count() == 1)

    def check(runner: Runner) -> None:
        if overwrite or not (path / "config.json").is_file():
            runner.inits.check_stages_from(seeds)
        if overwrite:
            experiment_start.clear(path)
        if (path / "result.json").is_file():
            raise InputError(
                f"{path}: this experiment is finished; choose another --out, or --overwrite; "
                f"`msa-jax resume {path} --max-epochs N` trains it further"
            )

    return _train_in(
        path,
        settings,
        dataset,
        seeds,
        progress,
        check,
        checked_trackers(trackers, on_epoch),
        said,
        precision=settled_format(settings.options, None if overwrite else path / "config.json"),
        record_labels=record_labels,
        keep_state=keep_state,
        with_text=with_text,
    )


def resume(
    folder: str | Path,
    *,
    max_epochs: int | None = None,
    data: Dataset | str | Path | None = None,
    data_devices: int | None = None,
    runs_per_program: int | None = None,
    remat: bool | None = None,
    resident: str | None = None,
    keep_state: bool = False,
    log: TextIO | None = sys.stderr,
    trackers: Sequence[str | Tracker] | None = None,
    on_epoch: Callable[[dict[str, Any]], object] | None = None,
    said: Collection[str] = (),
) -> Experiment:
    """Goes on with an experiment, with what its folder says: an unfinished one to its end, a finished one to more epochs.

    Runs that early stopping ended stay as they are. The others go on from their last states if these were kept
    (`keep_state`); otherwise they begin again, and come through the same epochs. Either way the end is that of an experiment
    that had `max_epochs` from its beginning, unless the schedule of the learning rate depends on it (linear, cosine, or a
    warm-up): states that were kept then have had other rates, which is said.

    Args:
      folder: of the experiment.
      max_epochs: of the last stage, more than it had; None for an unfinished experiment.
      data: where the dataset is now, by default where it was.
      data_devices: devices that share each mini-batch now, by default as many as did, or all there are if these are fewer.
      runs_per_program: how many runs go side by side, by default as many as did. With another number, runs that are not
        finished begin again.
      remat, resident: options that need less memory, by default as they were.
      keep_state: keep the last states once more; if they were kept before, they are.
      log: where progress goes; None is silent.
      trackers, on_epoch, said: as of `train`.

    Raises:
      InputError: not an experiment, finished and not to have more epochs, its dataset is gone or has changed, or it is in use.
        TrainingStopped: as of `train`.
    """
    use_cores()
    compilation.watch_compiler()
    path = user_path(folder)
    if not experiment_dir.is_ours(path / "config.json"):
        raise InputError(f"{path}: not an experiment: it has no config.json of one")
    before = RunConfig.read(path)
    method = before.known_method()
    old = config.override(method.options(), before.options)
    had, finished = old.max_epochs, processes.primary_says((path / "result.json").is_file)
    if max_epochs is None and finished:
        raise InputError(
            f"{path}: finished after at most {had} epochs; to train further, give --max-epochs with a number above {had}"
        )
    if max_epochs is not None:
        least = had + finished  # the same number again resumes what was killed
        if isinstance(max_epochs, bool) or not isinstance(max_epochs, int) or max_epochs < least:
            raise InputError(
                f"{path}: max_epochs is {max_epochs!r}; expected a whole number from {least}, since it had {had}"
            )
    devices = min(old.data_devices, jax.device_count()) if data_devices is None else data_devices
    given = {"runs_per_program": runs_per_program, "remat": remat, "resident": resident}
    changed = {"max_epochs": had if max_epochs is None else max_epochs, "data_devices": devices}
    options = config.override(old, {**changed, **{name: value for name, value in given.items() if value is not None}})
    dataset = checked_dataset(before.data if data is None else data)
    progress = Progress(log if processes.is_primary() else None, bar=processes.count() == 1)
    settings = Settings(method=method, options=options, protocol=before.protocol, preset=before.preset)

    def check(runner: Runner) -> None:
        if max_epochs is None or max_epochs == had:
            return
        fingerprint = used_part(dataset, old).fingerprint()
        content = replace(before, inputs=runner.prepared.inputs).to_json()
        experiment_start.begin(
            path, content, fingerprint, defaults=config.to_json(method.options()), encoder=runner.prepared.bert_sha256
        )
        if any((path / "checkpoints").glob("*/result.json")) and not any((path / "checkpoints").glob(f"*/{STATE}")):
            progress.line(f"{path}: the last states were not kept (--keep-state), so the runs begin again at epoch 1")
        elif spanned := _spanned(method, old, options, runner):
            progress.line(
                f"{path}: {spanned}; until now that was {had}, so the end is not that of one training of {max_epochs} epochs"
            )
        experiment_start.reopen(path, before.seeds, max_epochs)

    return _train_in(
        path,
        settings,
        dataset,
        before.seeds,
        progress,
        check,
        checked_trackers(trackers, on_epoch),
        said,
        precision=before.precision,
        record_labels=before.record_labels,
        keep_state=keep_state or before.keep_state,
        with_text=before.with_text,
        together=runs_per_program is not None,
    )


def _spanned(method: Method, old: Options, new: Options, runner: Runner) -> str | None:
    """What of epochs that are over would have been other with these `max_epochs`; None if nothing."""
    if old.schedule in ("linear", "cosine") or old.warmup > 0:
        return "the schedule of the learning rate spans max_epochs"
    *first, _ = resolve_stages(method, old, runner.prepared.inputs)
    *now, _ = resolve_stages(method, new, runner.prepared.inputs)
    if [own.max_epochs for _, own in first] != [own.max_epochs for _, own in now]:
        return "stages before the last have max_epochs too"
    return None


def _train_in(
    path: Path,
    settings: Settings,
    dataset: Dataset,
    seeds: tuple[int, ...],
    progress: Progress,
    check: Callable[[Runner], None],
    trackers: Sequence[str | Tracker],
    said: Collection[str],
    *,
    precision: str | None,
    record_labels: bool,
    keep_state: bool,
    with_text: bool,
    together: bool = True,
) -> Experiment:
    """Trains what is left to train of an experiment in its folder, once `check` found nothing against it.

    precision: the number format that `auto` comes to. together: whether the options say how many runs go side by side.
    """
    asked = Asked(
        method=settings.method.name, protocol=settings.protocol, preset=settings.preset, seeds=seeds, path=path
    )
    options = with_format(settings.options, precision)
    lines, dataset = asked.lines(dataset), used_part(dataset, options)
    if with_text and not all(dataset.splits()[split].raw_text is not None for split in HELD_OUT):
        raise InputError(f"{dataset.source}: no column raw_text, so no text can be written beside the scores")
    progress.announce(lines, options, said, reads_text=dataset.has("text"))
    compilation.keep_compiled_programs()
    runner = prepared_runner(settings.method, options, dataset, progress)
    for text in (runner.inits.describe(), *unread(dataset, options), *runner.inits.notes()):
        progress.line(text)
    content = RunConfig(
        method=settings.method.name,
        runs_per_program=runner.together(len(seeds)),
        dataset=dataset.card.name,
        data=dataset.source,
        metrics=dataset.card.metrics,
        protocol=settings.protocol,
        preset=settings.preset,
        seeds=seeds,
        record_labels=record_labels,
        keep_state=keep_state,
        with_text=with_text,
        options=config.to_json(settings.options),
        inputs=runner.prepared.inputs,
        extract=dataset.card.extract,
        precision=precision,
    )

    def begin() -> None:
        check_preprocessing(runner.prepared.preprocessor, dataset, path / "preprocessing")
        check(runner)
        resumed = (path / "config.json").is_file()
        # Resumed on a machine with other devices, the same runs stay side by side.
        fixed = (together and options.runs_per_program != "auto") or runner.why_sequential() is not None
        most = content.runs_per_program if fixed else None
        defaults, encoder = config.to_json(settings.method.options()), runner.prepared.bert_sha256
        begins_again = experiment_start.begin(
            path, content.to_json(), dataset.fingerprint(), defaults=defaults, together=most, encoder=encoder
        )
        if resumed:
            experiment_start.note_resumed(path)
        if begins_again:
            progress.line(f"{path}: another number of runs goes side by side, so unfinished ones begin again")
        save_preprocessing(runner.prepared.preprocessor, path / "preprocessing")

    with experiment_dir.locked(path):
        processes.run_on_primary(begin)
        begun = RunConfig.read(path).runs_per_program if processes.is_primary() else 0
        content = replace(content, runs_per_program=int(processes.of_primary(np.int32(begun))))
        return _train_all(path, content, dataset, runner, progress, trackers)


def prepared_runner(method: Method, options: Options, dataset: Dataset, progress: Progress) -> Runner:
    """Ready to train on the dataset. Raises InputError if method, options, dataset and devices do not fit together."""
    prepared = prepare(dataset, method, options)
    runner = Runner(method, options, prepared, metric_kind=dataset.card.metrics, progress=progress)
    runner.inits.check()
    return runner


def _train_all(
    path: Path,
    content: RunConfig,
    dataset: Dataset,
    runner: Runner,
    progress: Progress,
    trackers: Sequence[str | Tracker],
) -> Experiment:
    begun, compiled = time.monotonic(), compilation.compile_seconds()
    compilation.forget_peak_memory()
    runs = [
        Run(number=number, seed=seed, folder=path / "checkpoints" / str(seed))
        for number, seed in enumerate(content.seeds)
    ]
    steps = {run.number: MetricsFile(path / "steps" / f"{run.seed}.jsonl") for run in runs}

    def record(run: Run, epoch: int, arrays: Mapping[str, Any]) -> None:
        arrays = {name: np.asarray(value) for name, value in arrays.items()}
        write_arrays(path / "labels" / str(run.seed) / f"epoch_{epoch:04d}.npz", arrays)

    lines = MetricsFile(path / "metrics.jsonl")
    told: list[Tracker] = []
    # There, so that an error of one of them ends all processes.
    processes.run_on_primary(lambda: told.extend(made(trackers, path, lines, content.to_json())))
    logs = Logs(
        metrics=lines,
        steps=steps if content.options["record_steps"] else {},
        record=record if content.record_labels else None,
        trackers=tuple(told),
    )
    with contextlib.ExitStack() as watched:
        for tracker in logs.trackers:
            watched.callback(tracker.close)
        ended = train_in_parts(
            runs,
            content.runs_per_program,
            lambda part: runner.run(part, logs, keep_state=content.keep_state),
            done=lambda run: run.finished,
            load=lambda run: load_result(run.folder),
            fewer=partial(experiment_start.write_together, path),
        )
        results = [result for result in ended if result is not None]  # none fails: the first that does stops all
        check_rows(path / "checkpoints", content.seeds, results, dataset)
        mean, std = metrics.summarise([result.test for result in results])

        def end() -> None:
            summary = {
                "mean": mean,
                "std": std,
                "seconds": round(sum(line.get("seconds", 0) for line in logs.metrics.read()), 1),
                "parameters": sum(math.prod(leaf.shape) for leaf in runner.inits.shapes.params.values()),
                "process": {  # the last one, if several had to resume
                    "peak_memory_mb": compilation.peak_memory_mb(),
                    "compile_seconds": round(compilation.compile_seconds() - compiled, 1),
                },
            }
            write_results(path, content, dataset, results, summary)
            watched.close()  # at last, since one that waits for a network may be killed while it does

        # The others wait: once they have ended, the first would not have long.
        processes.run_on_primary(end)
    progress.line(f"{path}: {len(results)} run{'s' * (len(results) > 1)} in {time.monotonic() - begun:.0f} s")
    return Experiment(
        path=path, method=content.method, dataset=content.dataset, runs=tuple(results), mean=mean, std=std
    )
