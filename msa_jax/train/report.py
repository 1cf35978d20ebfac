"""What the steps of an epoch report: sums of every loss term, whether one was not finite, and records of every few steps."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from msa_jax.train.step import Measured

Array = jax.Array


class Report(NamedTuple):
    """What the steps of a phase report, so far in the epoch.

    sums: {term: sum over the samples}, and "loss". weights: {term: weight in the last step}. count: samples so far.
    bad_batch: number of the first mini-batch with a term that is not finite, or -1. bad_terms: [terms] bool, in the order of
    `sums` without "loss".
    records: [ceil(batches / record_steps), 1 + sums], a line for every so many mini-batches: how many samples count in them,
    then the sum over these of each of `sums`, sorted by name. None if nothing is recorded.
    """

    sums: dict[str, Array]
    weights: dict[str, Array]
    count: Array
    bad_batch: Array
    bad_terms: Array
    records: Array | None = None

    @classmethod
    def empty(cls, measured: Measured, *, runs: int, batches: int, record_steps: int) -> "Report":
        """Before the first step of an epoch, of R runs [R, ...].

        Args:
          measured: what a step measures; only names are read.
          batches: mini-batches of the phase in an epoch.
          record_steps: to one record; 0 for none.
        """
        names = [name for name in measured.means if name != "loss"]
        lines = math.ceil(batches / record_steps) if record_steps else 0
        return cls(
            sums={name: np.zeros(runs, np.float32) for name in (*names, "loss")},
            weights={name: np.zeros(runs, np.float32) for name in measured.weights},
            count=np.zeros(runs, np.float32),
            bad_batch=np.full(runs, -1, np.int32),
            bad_terms=np.zeros((runs, len(names)), bool),
            records=np.zeros((runs, lines, len(names) + 2), np.float32) if record_steps else None,
        )

    @property
    def terms(self) -> list[str]:
        """The names of the loss terms."""
        return [name for name in self.sums if name != "loss"]

    def add(self, measured: Measured, number: Array, record_steps: int) -> "Report":
        """The report of one run with one more mini-batch, the `number`-th of the epoch."""
        means, count = measured.means, measured.count
        bad = jnp.stack([~jnp.isfinite(means[name]) for name in self.terms])
        first_bad = bad.any() & (self.bad_batch < 0)
        records = self.records
        if records is not None:
            place = number // record_steps
            added = jnp.stack([count, *(count * means[name] for name in sorted(means))])
            records = jax.lax.dynamic_update_index_in_dim(records, records[place] + added, place, 0)
        return Report(
            sums={name: self.sums[name] + count * value for name, value in means.items()},
            weights=measured.weights,
            count=self.count + count,
            bad_batch=jnp.where(first_bad, number, self.bad_batch),
            bad_terms=jnp.where(first_bad, bad, self.bad_terms),
            records=records,
        )


def term_means(report: Report) -> dict[str, np.ndarray]:
    """{term: [R] mean over the samples of the epoch}, and "loss"."""
    count = np.maximum(report.count, 1)
    return {name: (sums / count).astype(np.float32) for name, sums in report.sums.items()}


def recorded(report: Report) -> list[dict[str, float]]:
    """The records of an epoch of one run: the mean of every term, and of "loss", over the samples of so many batches."""
    names = sorted(report.sums)
    lines = [] if report.records is None else np.asarray(report.records)
    return [dict(zip(names, (line[1:] / line[0]).tolist(), strict=True)) for line in lines]


def step_lines(
    report: Report, every: int, *, batches: int, first: int, prefix: Mapping[str, object]
) -> list[dict[str, object]]:
    """An epoch's lines of `steps/SEED.jsonl`.

    Args:
      report: of one run.
      every: mini-batches to a line.
      batches: mini-batches of the epoch. first: those of its stage before it.
      prefix: what each line begins with.

    Returns:
      Lines with step: the last mini-batch of the record, counted from 1 over the epochs of its stage; steps: how many
      mini-batches are in it; train: {term: mean over their samples}.
    """
    lines: list[dict[str, object]] = []
    for number, means in enumerate(recorded(report)):
        begin = number * every
        last = min(begin + every, batches)
        lines.append({**prefix, "step": first + last, "steps": last - begin, "train": means})
    return lines
