"""What runs write while they train: metrics of every epoch, loss terms of every few steps, records, and lines for people."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msa_jax.config import Options
from msa_jax.train.epoch_report import Report, recorded
from msa_jax.train.folder import MetricsFile


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


@dataclass(frozen=True, kw_only=True)
class Logs:
    """Where runs write while they train.

    metrics: a line for each run and epoch. steps: {run: lines of every few mini-batches}, empty where none are recorded.
    record: takes a run, an epoch and the method's records {name: [N]}; None where they are not asked for.
    """

    metrics: MetricsFile
    steps: Mapping[int, MetricsFile] = field(default_factory=dict)
    record: Callable[[Run, int, Mapping[str, Any]], None] | None = None

    def rewind(self, run: Run, epoch: int) -> None:
        """Drops what a killed process wrote of this run after `epoch`."""
        for log in (self.metrics, self.steps.get(run.number)):
            if log is not None:
                log.rewind(run.number, epoch)

    def write_steps(
        self, run: Run, report: Report, options: Options, line: Mapping[str, Any], *, batches: int, first: int
    ) -> None:
        """The records of an epoch, where they are asked for.

        line: what each of them begins with. batches: of the epoch. first: those of its stage before it.
        """
        if run.number in self.steps:
            lines = step_lines(report, options.record_steps, batches=batches, first=first)
            self.steps[run.number].append(*({**line, **record} for record in lines))


def step_lines(report: Report, every: int, *, batches: int, first: int) -> list[dict[str, Any]]:
    """An epoch's lines of `steps/SEED.jsonl`.

    step: the last mini-batch of the record, counted from 1 over the epochs of its stage. steps: how many mini-batches are in
    it. train: {term: mean over their rows}.
    """
    lines = []
    for number, means in enumerate(recorded(report)):
        begin = number * every
        last = min(begin + every, batches)
        lines.append({"step": first + last, "steps": last - begin, "train": means})
    return lines


def progress_line(
    runs: Sequence[Run], lines: Sequence[Mapping[str, Any]], better: Sequence[bool], seconds: float
) -> str:
    """One line for people: of one run, or of several after the same epoch; lines and better: of those that train."""
    epoch = lines[0]["epoch"]
    if len(runs) == 1:
        train, valid = lines[0]["train"], lines[0]["valid"]
        return (
            f"seed {runs[0].seed}  epoch {epoch:3d}  train {train['loss']:.4f}  valid MAE {valid['MAE']:.4f}  "
            f"Corr {valid['Corr']:.4f}  {seconds:.1f} s{'  best' if better[0] else ''}"
        )
    errors = [line["valid"]["MAE"] for line in lines]
    return (
        f"{len(lines)} of {len(runs)} runs  epoch {epoch:3d}  valid MAE {min(errors):.4f} to {max(errors):.4f}  "
        f"{seconds:.1f} s  {sum(better)} better"
    )
