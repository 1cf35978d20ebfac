"""Who is ahead on single samples: mean ranks of several methods, and by how much they must differ to be told apart."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from msa_jax.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """mean: {method: mean rank over the samples}, 1 is the smallest error, the best first. samples: how many there are.

    p: of Friedman's test that all methods have the same ranks; None of two methods, or if they are equal on every sample.
    difference: the critical difference of Nemenyi's test at 5 %. groups: methods that it does not tell apart, of two or more,
    each as large as can be. Both take samples as independent, which those of a video are not. videos: how many the samples are
    from; None if that is not known.
    """

    mean: dict[str, float]
    samples: int
    p: float | None
    difference: float
    groups: tuple[tuple[str, ...], ...]
    videos: int | None = None


def rank_methods(errors: Mapping[str, np.ndarray], *, videos: int | None = None) -> Ranks:
    """Ranks the methods within each sample by their error; equal errors share a rank.

    The critical difference is q sqrt(k (k + 1) / 6 N) of k methods on N samples, q the studentised range over sqrt(2) (Demsar,
    JMLR 7, 2006).

    Args:
      errors: {method: [N] errors of the same samples in the same order}, of two methods or more.
      videos: how many the samples are from, if that is known.

    Raises:
      InputError: one method alone, other shapes, or no samples.
    """
    from scipy import stats

    shapes = {np.shape(values) for values in errors.values()}
    if len(errors) < 2 or len(shapes) > 1 or len(shape := shapes.pop()) != 1 or not shape[0]:
        raise InputError(f"errors of {', '.join(errors) or 'no method'}: expected [N] of each of two methods or more")
    table = np.stack(list(errors.values()))  # [k, N]
    k, samples = table.shape
    means = stats.rankdata(table, axis=0).mean(axis=1)
    mean = {name: float(rank) for rank, name in sorted(zip(means, errors, strict=True))}
    p = float(stats.friedmanchisquare(*table).pvalue) if k > 2 and np.ptp(table, axis=0).any() else None
    quantile = float(stats.studentized_range.ppf(0.95, k, np.inf)) / 2**0.5
    difference = quantile * (k * (k + 1) / (6 * samples)) ** 0.5
    groups = _groups(mean, difference)
    return Ranks(mean=mean, samples=samples, p=p, difference=difference, groups=groups, videos=videos)


def _groups(mean: Mapping[str, float], difference: float) -> tuple[tuple[str, ...], ...]:
    """Runs of methods, the best first, whose first and last are not told apart, and that no longer one holds."""
    names, found, end = list(mean), [], 0
    for first in range(len(names)):
        last = first
        while last + 1 < len(names) and mean[names[last + 1]] - mean[names[first]] < difference:
            last += 1
        if last > first and last > end:
            found.append(tuple(names[first : last + 1]))
            end = last
    return tuple(found)
