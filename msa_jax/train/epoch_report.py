"""What the steps of an epoch report: sums of every loss term, whether one was not finite, and records of every few steps."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array


class Report(NamedTuple):
    """What the steps of an epoch report, so far.

    sums: {term: sum over the rows}, and "loss". rows: how many there were.
    bad_batch: number of the first batch in the epoch with a term that is not finite, or -1. bad_terms: [terms] bool, in the
    order of `sums` without "loss".
    records: [ceil(batches / options.record_steps), 1 + sums], one row for every so many batches of the epoch: how many rows
    of the dataset count in them, then the sum over these of each of `sums`, sorted by name. None where nothing is recorded.
    """

    sums: dict[str, Array]
    rows: Array
    bad_batch: Array
    bad_terms: Array
    records: Array | None = None


def extend(
    report: Report, names: tuple[str, ...], means: Mapping[str, Array], rows: Array, number: Array, record_steps: int
) -> Report:
    """The report with one more batch: its `number` in the epoch, how many rows count, the mean of each term over them."""
    bad = jnp.stack([~jnp.isfinite(means[name]) for name in names])
    first_bad = bad.any() & (report.bad_batch < 0)
    records = report.records
    if records is not None:
        place = number // record_steps
        added = jnp.stack([rows, *(rows * means[name] for name in sorted(means))])
        records = jax.lax.dynamic_update_index_in_dim(records, records[place] + added, place, 0)
    return Report(
        sums={name: report.sums[name] + rows * value for name, value in means.items()},
        rows=report.rows + rows,
        bad_batch=jnp.where(first_bad, number, report.bad_batch),
        bad_terms=jnp.where(first_bad, bad, report.bad_terms),
        records=records,
    )


def recorded(report: Report) -> list[dict[str, float]]:
    """The records of an epoch: the mean of every term, and of "loss", over the rows that count in so many batches."""
    names = sorted(report.sums)
    rows = [] if report.records is None else np.asarray(report.records)
    return [dict(zip(names, (row[1:] / row[0]).tolist(), strict=True)) for row in rows]
