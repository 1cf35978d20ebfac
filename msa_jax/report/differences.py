"""Differences between two experiments on the same rows: over seeds with a t interval, over samples with a bootstrap.

Two sources of uncertainty, kept apart. Seeds: would other training runs turn out otherwise? Samples: would another test
set of this size say otherwise? An interval of one kind says nothing about the other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from msa_jax.errors import InputError
from msa_jax.metrics import HIGHER_IS_BETTER, signed_errors, summarise

FEW_SEEDS = 5  # the papers' number of runs; below it the spread itself is poorly known
RESAMPLES = 2000
LEAST_UNITS = 5  # videos, or samples, that are resampled; the spread of fewer says little
LEVEL = 0.05  # of a test, and what an interval may miss
POWER = 0.8  # of a difference that is called detectable
ROUNDING = 1e-12  # relative to the scores: differences that spread by no more are equal
NOT_WIDENED = "t interval of the mean over seeds, on the same samples; not widened for the number of comparisons."


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """`name` minus the first experiment in one metric, over the n seeds both have; 95 % interval [low, high].

    p: of the two-sided paired t test that there is no difference. detectable: how large a true difference must be for that
    test, with so many seeds of such a spread, to show it at its level in four of five repetitions.
    """

    name: str
    metric: str
    n: int
    mean: float | None
    sd: float | None
    standard_error: float | None
    low: float | None
    high: float | None
    p: float | None = None
    detectable: float | None = None

    @property
    def equal(self) -> bool:
        """Whether the difference is the same with every seed: then there is no interval."""
        return self.sd is not None and self.low is None

    @property
    def reading(self) -> str:
        """What the interval allows to say."""
        if self.low is None or self.high is None:
            return "no interval"
        if self.low <= 0 <= self.high:
            return "no difference shown"
        return "better" if (self.low > 0) == HIGHER_IS_BETTER[self.metric] else "worse"


def paired_difference(
    first: Mapping[int, Mapping[str, float | None]],
    other: Mapping[int, Mapping[str, float | None]],
    *,
    metric: str,
    name: str,
    level: float = LEVEL,
) -> PairedDifference:
    """d_s = other_s - first_s over the shared seeds s; interval mean(d) ± t(n - 1) sd(d) / sqrt(n).

    `first` and `other` are {seed: {metric: value or None}}, values as fractions. `level`, in (0, 1), is that of the test that
    `detectable` speaks of; the interval is one of 95 % whatever it is.
    No interval from one shared seed, nothing at all from none or where the metric is not defined in one of the runs.
    No interval either if all d_s are equal. Accuracies are multiples of 1/N, so those of a few seeds often agree by chance, and
    an interval without width would be certain of what was not seen.
    """
    shared = [seed for seed in first if seed in other]
    values = [(first[seed][metric], other[seed][metric]) for seed in shared]
    mean = sd = error = low = high = p = detectable = None
    if values and all(value is not None for pair in values for value in pair):
        mean_of, sd_of = summarise([{metric: b - a} for a, b in values])
        mean, sd = mean_of[metric], sd_of[metric]
    largest = max((abs(value) for pair in values for value in pair if value is not None), default=0.0)
    if sd is not None and mean is not None and sd > ROUNDING * largest:
        from scipy import special  # takes half a second, which the command's help does not need

        freedom = len(values) - 1
        error = sd / len(values) ** 0.5
        half = float(special.stdtrit(freedom, 0.975)) * error
        low, high = mean - half, mean + half
        p = 2 * float(special.stdtr(freedom, -abs(mean) / error))
        detectable = noncentrality(freedom, level) * error
    return PairedDifference(
        name=name,
        metric=metric,
        n=len(shared),
        mean=mean,
        sd=sd,
        standard_error=error,
        low=low,
        high=high,
        p=p,
        detectable=detectable,
    )


def noncentrality(freedom: int, level: float = LEVEL) -> float:
    """How many standard errors a true difference must have to be shown by a two-sided t test at `level` with power POWER.

    The test statistic is a noncentral t variable with `freedom` >= 1 degrees then; of many degrees, at 5 %, it is 1.96 + 0.84.
    """
    from scipy import optimize, special

    bound = special.stdtrit(freedom, 1 - level / 2)

    def lacking(shift: float) -> float:
        return float(1 - special.nctdtr(freedom, shift, bound) - POWER)  # shown the right way round

    return float(optimize.brentq(lacking, 0.0, 5 * bound))


def holm(p: Sequence[float | None]) -> list[float | None]:
    """p values of several tests, adjusted so that a false finding among all of them has at most the stated probability.

    Holm (1979): the k-th smallest of m is multiplied by m - k + 1, and none is smaller than one before it. None stays None
    and counts as the largest: that test, too, was one of those that could have found something.
    """
    known = sorted((value, place) for place, value in enumerate(p) if value is not None)
    adjusted: list[float | None] = [None] * len(p)
    largest = 0.0
    for before, (value, place) in enumerate(known):
        largest = max(largest, min(1.0, (len(p) - before) * value))
        adjusted[place] = largest
    return adjusted


@dataclass(frozen=True, kw_only=True)
class BootstrapDifference:
    """`name` minus the first experiment in MAE, over n rows with the runs as they are; 95 % interval [low, high].

    units: how many there are to resample: videos, or the rows themselves. Without an interval there are fewer than LEAST_UNITS.
    """

    name: str
    n: int
    units: int
    mean: float
    low: float | None
    high: float | None


def bootstrap_difference(
    first: np.ndarray,
    other: np.ndarray,
    *,
    name: str,
    groups: np.ndarray | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> BootstrapDifference:
    """Expanded percentile interval of mean(other - first) under resampling with replacement.

    Samples of a video are alike, so whole videos are resampled (the cluster bootstrap of Davison and Hinkley, 1997, 3.8):
    intervals of resampled rows would be too narrow. So would the 2.5 and 97.5 % points be with few of the G units: they take
    the spread, which is divided by G, for the true one, and its distribution for normal. Hesterberg (The American
    Statistician 69, 2015) takes the points Phi(-+ t(G - 1) sqrt(G / (G - 1))) instead, t the 97.5 % point of Student's t.
    Of normal values it covers about 92 % with five units and 94 to 95 % with eight or more. No interval from fewer than
    LEAST_UNITS.

    Args:
      first, other: `[N]` absolute errors of the same rows in the same order, so each resample takes both errors of a row.
      groups: `[N]`, equal for rows of a video; none if every row stands for itself.

    Raises:
      InputError: the shapes differ.
    """
    groups = np.arange(len(first)) if groups is None else groups
    if first.ndim != 1 or not first.shape == other.shape == groups.shape:
        shapes = " against ".join(str(list(array.shape)) for array in (first, other, groups))
        raise InputError(f"errors and groups {shapes}: expected [N] each")
    difference = other - first
    _, group, rows = np.unique(groups, return_inverse=True, return_counts=True)
    sums, units = np.bincount(group, difference), len(rows)
    low = high = None
    if units >= LEAST_UNITS:
        low, high = _expanded_percentiles(sums, rows, resamples, seed)
    return BootstrapDifference(name=name, n=len(first), units=units, mean=float(difference.mean()), low=low, high=high)


def _expanded_percentiles(sums: np.ndarray, rows: np.ndarray, resamples: int, seed: int) -> tuple[float, float]:
    """The interval of the mean over rows; of each unit [G] there are the sum of its rows and their number."""
    from scipy import special

    units = len(rows)
    rng = np.random.default_rng(seed)
    means = np.empty(resamples)
    for start in range(0, resamples, 100):  # not all at once: there may be thousands of units
        drawn = rng.integers(units, size=(min(100, resamples - start), units))
        means[start : start + len(drawn)] = sums[drawn].sum(axis=1) / rows[drawn].sum(axis=1)
    tail = special.ndtr(-special.stdtrit(units - 1, 0.975) * (units / (units - 1)) ** 0.5)
    low, high = np.quantile(means, (tail, 1 - tail))
    return float(low), float(high)


def absolute_errors(predictions: np.ndarray, label: np.ndarray, *, kind: str) -> np.ndarray:
    """|p - y| of each row, averaged over runs: predictions `[R, N]`, label `[N]` -> `[N]` float64.

    Its mean over rows is the mean MAE of those runs: with kind "sims" both are clipped first, as SIMS is scored.
    """
    predictions, label = np.asarray(predictions, np.float64), np.asarray(label, np.float64)
    if predictions.ndim != 2 or predictions.shape[1:] != label.shape:
        raise InputError(f"predictions {list(predictions.shape)}, label {list(label.shape)}: expected [R, N] and [N]")
    return np.abs(signed_errors(predictions, label[None, :], kind)).mean(axis=0)
