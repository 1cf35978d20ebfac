"""An experiment: several runs of one method on one dataset, in one folder that can be resumed, scored again and reused."""

import csv
import io
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from msa_jax import config, methods, metrics
from msa_jax.config import Options
from msa_jax.data import load_dataset
from msa_jax.data.schema import Dataset
from msa_jax.data.subset import take_fraction
from msa_jax.errors import InputError
from msa_jax.methods.protocol import Inputs, Method
from msa_jax.train import folder as files
from msa_jax.train import processes
from msa_jax.train.compilation import keep_compiled_programs
from msa_jax.train.folder import MetricsFile, read_json, write_arrays, write_json
from msa_jax.train.logs import Logs, Run
from msa_jax.train.mesh import use_cores
from msa_jax.train.prepare import prepare
from msa_jax.train.progress import Progress
from msa_jax.train.resources import compile_seconds, peak_memory_mb, watch_compiler
from msa_jax.train.results import Result
from msa_jax.train.run import Runner
from msa_jax.train.stages import HELD_OUT

SEEDS = (1111, 1112, 1113, 1114, 1115)


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A finished experiment. mean, std: of each test metric over the runs; std (n - 1) is None with one run."""

    path: Path
    method: str
    dataset: str
    runs: tuple[Result, ...]
    mean: dict[str, float]
    std: dict[str, float | None]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What was asked for, resolved: method, options and where they came from."""

    method: Method
    options: Options
    protocol: str
    preset: str | None


def resolve(
    method: str, *, dataset: str | None = None, preset: str | None = None, protocol: str | None = None, **changes: Any
) -> Settings:
    """Defaults of the method, then the protocol's, then the preset's, then `changes`; the later wins.

    Args:
      method: its name.
      dataset: the name on its card; without a preset, `configs/{method}_{dataset}.py` is taken where it exists.
      preset: a name or path; "none" for no preset at all.
      protocol: "paper" or "reference"; by default the preset's, otherwise "paper".
      changes: dotted option names and values.

    Raises:
      InputError: something unknown, or a preset of another method.
    """
    chosen = methods.get(method)
    name = preset
    if preset is None and f"{method}_{dataset}" in config.preset_names():
        name = f"{method}_{dataset}"
    found = None if name in (None, "none") else config.load_preset(name)
    if found is not None and found.method != method:
        raise InputError(f"preset {name} is for method {found.method}, not {method}")
    protocol = protocol or (found.protocol if found else "paper")
    if protocol not in ("paper", "reference"):
        raise InputError(f"protocol is {protocol!r}; expected paper or reference")
    options = protocol_options(chosen, protocol)
    if found is not None:
        options = config.override(options, found.options)
    options = config.override(options, changes)
    return Settings(method=chosen, options=options, protocol=protocol, preset=found.name if found else None)


def protocol_options(method: Method, protocol: str) -> Options:
    """The method's options in the "paper" or the "reference" protocol."""
    options = method.options()
    return config.override(options, method.reference) if protocol == "reference" else options


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
    settings = resolve(
        method, dataset=dataset.card.name, preset=preset, protocol=protocol, **{**(options or {}), **named}
    )
    seeds = checked_seeds(seeds)
    if settings.options.selection not in ("loss", *metrics.METRIC_KEYS[dataset.card.metrics]):
        keys = ", ".join(("loss", *metrics.METRIC_KEYS[dataset.card.metrics]))
        raise InputError(f"option selection is {settings.options.selection!r}; expected one of {keys}")
    path = Path(out) if out is not None else Path("runs") / f"{method}-{dataset.card.name}"
    progress = Progress(log if processes.writes() else None, bar=processes.count() == 1)
    keep_compiled_programs()
    dataset = take_fraction(dataset, settings.options.train_fraction, seed=settings.options.train_fraction_seed)
    runner = prepared_runner(settings.method, settings.options, dataset, progress)
    content = {
        "method": method,
        "runs_per_program": runs_per_program(runner, settings.options, len(seeds)),
        "dataset": dataset.card.name,
        "data": dataset.source,
        "metrics": dataset.card.metrics,
        "protocol": settings.protocol,
        "preset": settings.preset,
        "seeds": list(seeds),
        "record_labels": record_labels,
        "options": config.to_json(settings.options),
        "inputs": inputs_to_json(runner.prepared.inputs),
    }

    def begin() -> None:
        if overwrite or not (path / "config.json").is_file():
            runner.check_stages_from(seeds)
        if overwrite:
            files.clear(path)
        if (path / "result.json").is_file():
            raise InputError(f"{path}: this experiment is finished; choose another --out, or --overwrite")
        files.begin(path, content, dataset.fingerprint())
        runner.prepared.preprocessor.save(path / "preprocessing")

    with files.locked(path):
        processes.by_first(begin)
        # Resumed on a machine with other devices, the same runs stay side by side.
        content["runs_per_program"] = read_json(path / "config.json").get("runs_per_program", 1)
        return _train(path, content, dataset, runner, seeds, record_labels, progress)


def prepared_runner(method: Method, options: Options, dataset: Dataset, progress: Progress) -> Runner:
    """Ready to train on the dataset. Raises InputError where method, options, dataset and devices do not fit together."""
    prepared = prepare(dataset, method, options)
    runner = Runner(method, options, prepared, metric_kind=dataset.card.metrics, progress=progress)
    runner.check()
    return runner


def runs_per_program(runner: Runner, options: Options, runs: int) -> int:
    """How many of an experiment's runs go side by side, at most.

    Raises:
      InputError: more than one was asked for where that cannot be.
    """
    reason = runner.reason_alone()
    if options.runs_per_program == "auto":
        return 1 if reason is not None else min(runner.gainful(), runs)
    if options.runs_per_program > 1 and reason is not None:
        raise InputError(f"option runs_per_program is {options.runs_per_program}: {reason}; expected 1")
    return min(options.runs_per_program, runs)


def checked_seeds(seeds: Sequence[int]) -> tuple[int, ...]:
    """Seeds as they are used. Raises InputError where there are none, one twice, or one out of range."""
    seeds = tuple(int(seed) for seed in seeds)
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0 or max(seeds) >= 2**32:
        raise InputError(f"seeds are {', '.join(map(str, seeds)) or 'none'}; expected distinct numbers in [0, 2^32)")
    return seeds


def _train(
    path: Path,
    content: dict[str, Any],
    dataset: Dataset,
    runner: Runner,
    seeds: tuple[int, ...],
    record_labels: bool,
    progress: Progress,
) -> Experiment:
    begun, compiled = time.monotonic(), compile_seconds()
    runs = [Run(number=number, seed=seed, folder=path / "checkpoints" / str(seed)) for number, seed in enumerate(seeds)]
    steps = {run.number: MetricsFile(path / "steps" / f"{run.seed}.jsonl") for run in runs}

    def record(run: Run, epoch: int, arrays: Mapping[str, Any]) -> None:
        arrays = {name: np.asarray(value) for name, value in arrays.items()}
        write_arrays(path / "labels" / str(run.seed) / f"epoch_{epoch:04d}.npz", arrays)

    logs = Logs(
        metrics=MetricsFile(path / "metrics.jsonl"),
        steps=steps if content["options"]["record_steps"] else {},
        record=record if record_labels else None,
    )
    together = content["runs_per_program"]
    results = [
        result for first in range(0, len(runs), together) for result in runner.run(runs[first : first + together], logs)
    ]
    for split in HELD_OUT:
        part = dataset.splits()[split]
        runs = {str(result.seed): result.scores[split] for result in results}
        files.write_text(path / "predictions" / f"{split}.csv", predictions_csv(part.id, part.label, runs))
    if processes.writes():
        _write_labels(path, dataset, seeds)
    mean, std = metrics.summarise([result.test for result in results])
    write_json(
        path / "result.json",
        {
            "method": content["method"],
            "dataset": content["dataset"],
            "metrics": content["metrics"],
            "runs": [
                {
                    "seed": result.seed,
                    "hyperparameters": content["options"],
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
            "process": {  # the last one, where several had to resume
                "peak_memory_mb": round(peak_memory_mb(), 1),
                "compile_seconds": round(compile_seconds() - compiled, 1),
            },
        },
    )
    progress.line(f"{path}: {len(results)} run{'s' * (len(results) > 1)} in {time.monotonic() - begun:.0f} s")
    return Experiment(
        path=path, method=content["method"], dataset=content["dataset"], runs=tuple(results), mean=mean, std=std
    )


def _write_labels(path: Path, dataset: Dataset, seeds: tuple[int, ...]) -> None:
    """The last unimodal labels of every training row, one file for each seed, where the method generates any."""
    for seed in seeds:
        with np.load(path / "checkpoints" / str(seed) / "records.npz", allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        if arrays:
            named = {"id": np.asarray(dataset.train.id, np.str_), "label": dataset.train.label, **arrays}
            write_arrays(path / "labels" / f"{seed}.npz", named)


def predictions_csv(ids: np.ndarray, label: np.ndarray, runs: dict[str, dict[str, np.ndarray]]) -> str:
    """`id, label`, then `{run}/{head}` for every run and head; numbers with all the digits that float32 has."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = {f"{run}/{head}": values for run, heads in runs.items() for head, values in heads.items()}
    writer.writerow(["id", "label", *columns])
    for row, name in enumerate(ids):
        writer.writerow([name, repr(float(label[row])), *(repr(float(values[row])) for values in columns.values())])
    return text.getvalue()


def inputs_to_json(inputs: Inputs) -> dict[str, Any]:
    """The shapes that a network was built for."""
    text = inputs.text.to_dict() if hasattr(inputs.text, "to_dict") else inputs.text
    return {
        "text": text,
        "text_steps": inputs.text_steps,
        "audio": inputs.audio and list(inputs.audio),
        "vision": inputs.vision and list(inputs.vision),
        "label_range": list(inputs.label_range),
        "rows": inputs.rows,
        "columns": list(inputs.columns),
    }
