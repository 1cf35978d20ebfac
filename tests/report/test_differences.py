"""Intervals over seeds and over samples, against published quantiles, scipy and the normal approximation."""

import numpy as np
import pytest
from scipy import stats

from msa_jax.errors import InputError
from msa_jax.report.differences import (
    absolute_errors,
    bootstrap_difference,
    holm,
    noncentrality,
    paired_difference,
)

# Two-sided 95 % points of Student's t, from the usual printed table (three decimals).
PRINTED = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 9: 2.262, 10: 2.228, 29: 2.045, 60: 2.000, 120: 1.980}


@pytest.mark.parametrize(("freedom", "expected"), PRINTED.items())
def test_the_interval_is_as_wide_as_the_printed_table_says(freedom, expected):
    values = dict(enumerate(np.random.default_rng(0).normal(size=freedom + 1)))
    found = paired_difference(_runs(dict.fromkeys(values, 0.0)), _runs(values), metric="MAE", name="b")
    assert (found.high - found.low) / 2 / found.standard_error == pytest.approx(expected, abs=5e-4)


def test_p_is_that_of_scipys_paired_t_test():
    first, other = np.random.default_rng(1).normal((0, 0.4), size=(5, 2)).T
    found = paired_difference(_runs(dict(enumerate(first))), _runs(dict(enumerate(other))), metric="MAE", name="b")
    assert found.p == pytest.approx(stats.ttest_rel(other, first).pvalue, rel=1e-9)
    assert found.p > 0.05 or found.reading != "no difference shown"


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_a_detectable_difference_is_shown_in_four_of_five_repetitions(seeds):
    rng = np.random.default_rng(seeds)
    shift = noncentrality(seeds - 1) / np.sqrt(seeds)  # in standard deviations of a difference
    differences = rng.normal(shift, 1.0, size=(100_000, seeds))
    shown = stats.ttest_1samp(differences, 0.0, axis=1).pvalue < 0.05
    assert shown.mean() == pytest.approx(0.8, abs=0.006)
    found = paired_difference(
        _runs(dict.fromkeys(range(seeds), 0.0)), _runs(dict(enumerate(differences[0]))), metric="MAE", name="b"
    )
    assert found.detectable == pytest.approx(shift * differences[0].std(ddof=1), rel=1e-6)


@pytest.mark.parametrize(("seeds", "level"), [(3, 0.05 / 6), (5, 0.05 / 12)])
def test_a_difference_that_is_detectable_at_another_level_is_shown_as_often_there(seeds, level):
    shift = noncentrality(seeds - 1, level) / np.sqrt(seeds)
    differences = np.random.default_rng(seeds).normal(shift, 1.0, size=(100_000, seeds))
    assert (stats.ttest_1samp(differences, 0.0, axis=1).pvalue < level).mean() == pytest.approx(0.8, abs=0.006)
    at_five = paired_difference(
        _runs(dict.fromkeys(range(seeds), 0.0)), _runs(dict(enumerate(differences[0]))), metric="MAE", name="b"
    )
    found = paired_difference(
        _runs(dict.fromkeys(range(seeds), 0.0)),
        _runs(dict(enumerate(differences[0]))),
        metric="MAE",
        name="b",
        level=level,
    )
    assert found.detectable == pytest.approx(shift * differences[0].std(ddof=1), rel=1e-6)
    assert (found.low, found.high, found.p) == (at_five.low, at_five.high, at_five.p)


def test_of_many_seeds_a_detectable_difference_is_that_of_the_normal_approximation():
    assert noncentrality(100_000) == pytest.approx(1.959964 + 0.841621, abs=1e-3)


def test_holms_p_values():
    # 3 * 0.01, 2 * 0.02, and 0.03 not below the one before; worked by hand, as in Holm's procedure.
    assert holm([0.03, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.04, None, None]) == pytest.approx([0.12, None, None])  # three tests, two of them without a p value
    assert holm([0.9, 0.5]) == [1.0, 1.0]
    assert holm([]) == []


def _runs(values: dict[int, float | None], metric: str = "MAE") -> dict:
    return {seed: {metric: value} for seed, value in values.items()}


def test_paired_difference_is_over_the_shared_seeds_only():
    first = _runs({1: 0.70, 2: 0.72, 3: 0.74, 4: 9.0})
    other = _runs({5: -9.0, 3: 0.70, 2: 0.71, 1: 0.66})
    found = paired_difference(first, other, metric="MAE", name="b")
    d = np.array([-0.04, -0.01, -0.04])
    error = d.std(ddof=1) / np.sqrt(3)
    assert found.n == 3
    assert (found.mean, found.sd, found.standard_error) == pytest.approx((d.mean(), d.std(ddof=1), error))
    assert (found.low, found.high) == pytest.approx((d.mean() - 4.302653 * error, d.mean() + 4.302653 * error))


@pytest.mark.parametrize(
    ("metric", "shift", "reading"),
    [("MAE", -0.1, "better"), ("MAE", 0.1, "worse"), ("Corr", 0.1, "better"), ("Corr", -0.1, "worse")],
)
def test_reading_knows_which_way_is_better(metric, shift, reading):
    first = {1: 0.5, 2: 0.6, 3: 0.7}
    other = {seed: value + shift + 0.001 * seed for seed, value in first.items()}
    assert paired_difference(_runs(first, metric), _runs(other, metric), metric=metric, name="b").reading == reading


def test_an_interval_that_holds_zero_shows_no_difference():
    found = paired_difference(_runs({1: 0.5, 2: 0.5}), _runs({1: 0.6, 2: 0.5}), metric="MAE", name="b")
    assert found.low < 0 < found.high
    assert found.reading == "no difference shown"


def test_one_shared_seed_has_a_difference_and_no_interval():
    found = paired_difference(_runs({1: 0.5, 2: 0.5}), _runs({2: 0.75, 3: 0.1}), metric="MAE", name="b")
    assert (found.n, found.mean, found.sd, found.low, found.reading) == (1, 0.25, None, None, "no interval")


@pytest.mark.parametrize(
    "other",
    [{1: 0.50, 2: 0.52}, {1: 0.51, 2: 0.53}, {1: 0.49, 2: 0.51}, {1: 0.75, 2: 0.77}, {1: 1e-9 + 0.5, 2: 1e-9 + 0.52}],
)
def test_a_difference_that_all_seeds_share_has_no_interval(other):
    found = paired_difference(_runs({1: 0.50, 2: 0.52}), _runs(other), metric="MAE", name="b")
    assert (found.n, found.mean) == (2, pytest.approx(other[1] - 0.5))
    assert found.sd < 1e-15
    assert found.equal
    assert (found.standard_error, found.low, found.high, found.p, found.detectable) == (None,) * 5
    assert found.reading == "no interval"


def test_a_spread_in_the_last_digits_of_a_score_is_a_spread():
    found = paired_difference(_runs({1: 0.50, 2: 0.52}), _runs({1: 0.51, 2: 0.53 + 1e-9}), metric="MAE", name="b")
    assert not found.equal
    assert found.low < found.mean < found.high


@pytest.mark.parametrize("other", [{3: 0.5, 4: 0.5}, {1: None, 2: 0.5}])
def test_no_shared_seed_or_an_undefined_value_gives_no_difference(other):
    found = paired_difference(_runs({1: 0.5, 2: 0.5}), _runs(other), metric="MAE", name="b")
    assert (found.mean, found.low, found.high, found.reading) == (None, None, None, "no interval")


def test_bootstrap_is_near_the_normal_interval_of_the_paired_difference():
    rng = np.random.default_rng(0)
    hardness = rng.exponential(2.0, 700)  # shared by both: it must cancel
    first, other = hardness + rng.normal(0, 0.3, 700), hardness + rng.normal(-0.05, 0.3, 700)
    found = bootstrap_difference(first, other, name="b")
    d = other - first
    half = stats.t.ppf(0.975, 699) * d.std(ddof=1) / np.sqrt(700)
    assert found.n == 700
    assert found.mean == pytest.approx(d.mean())
    assert (found.low, found.high) == pytest.approx((d.mean() - half, d.mean() + half), abs=0.1 * half)
    unpaired = 1.96 * np.sqrt((first.var() + other.var()) / 700)
    assert found.high - found.low < 0.25 * 2 * unpaired


def test_bootstrap_equals_a_loop_over_resamples():
    first, other = np.random.default_rng(1).normal(size=(2, 30))
    rng = np.random.default_rng(5)
    means = [np.mean([other[i] - first[i] for i in rng.integers(30, size=30)]) for _ in range(150)]
    found = bootstrap_difference(first, other, name="b", resamples=150, seed=5)
    tail = 100 * stats.norm.cdf(-np.sqrt(30 / 29) * 2.045230)  # t of 29 degrees of freedom, from a table
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(means, [tail, 100 - tail])))


def test_bootstrap_of_videos_equals_a_loop_over_resamples_of_whole_videos():
    first, other = np.random.default_rng(1).normal(size=(2, 30))
    groups = np.random.default_rng(2).permutation(np.repeat(list("abcde"), [1, 3, 6, 9, 11]))
    rows = [np.flatnonzero(groups == name) for name in "abcde"]
    rng = np.random.default_rng(5)
    means = [
        np.mean((other - first)[np.concatenate([rows[video] for video in rng.integers(5, size=5)])]) for _ in range(150)
    ]
    found = bootstrap_difference(first, other, name="b", groups=groups, resamples=150, seed=5)
    assert (found.n, found.units) == (30, 5)
    assert found.mean == pytest.approx(np.mean(other - first))
    tail = 100 * stats.norm.cdf(-np.sqrt(5 / 4) * 2.776445)
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(means, [tail, 100 - tail])))


@pytest.mark.parametrize(("videos", "least"), [(5, 0.88), (9, 0.90), (20, 0.91)])
def test_an_interval_over_videos_covers_the_truth_where_samples_of_a_video_are_alike(videos, least):
    rng = np.random.default_rng(0)
    groups, inside, times = np.repeat(np.arange(videos), 20), {"videos": 0, "rows": 0}, 300
    for _ in range(times):
        other = rng.normal(0, 0.5, videos)[groups] + rng.normal(size=len(groups))  # 0.2 within a video; truth 0
        for what, chosen in (("videos", groups), ("rows", None)):
            found = bootstrap_difference(np.zeros_like(other), other, name="b", groups=chosen, resamples=600)
            inside[what] += found.low <= 0 <= found.high
    assert least <= inside["videos"] / times <= 0.98
    assert inside["rows"] / times < 0.75


@pytest.mark.parametrize("groups", [np.repeat(np.arange(4), 10), np.zeros(40, int)])
def test_fewer_than_five_videos_have_no_interval(groups):
    first, other = np.random.default_rng(1).normal(size=(2, 40))
    found = bootstrap_difference(first, other, name="b", groups=groups)
    assert (found.units, found.low, found.high) == (len(set(groups)), None, None)
    assert found.mean == pytest.approx(np.mean(other - first))


def test_bootstrap_repeats_with_its_seed_and_only_with_it():
    first, other = np.random.default_rng(1).normal(size=(2, 50))
    assert bootstrap_difference(first, other, name="b", seed=3) == bootstrap_difference(first, other, name="b", seed=3)
    assert bootstrap_difference(first, other, name="b", seed=3) != bootstrap_difference(first, other, name="b", seed=4)


def test_a_difference_that_every_row_shares_is_certain():
    found = bootstrap_difference(np.zeros(9), np.full(9, 0.25), name="b")
    assert (found.mean, found.low, found.high) == (0.25, 0.25, 0.25)


def test_errors_are_averaged_over_runs_and_clipped_for_sims():
    predictions, label = np.array([[3.0, -0.5], [1.0, 0.5]], np.float32), np.array([1.0, -0.5], np.float32)
    np.testing.assert_allclose(absolute_errors(predictions, label, kind="mosi"), [1.0, 0.5])
    np.testing.assert_allclose(absolute_errors(predictions, label, kind="sims"), [0.0, 0.5])


def test_other_shapes_are_refused():
    with pytest.raises(InputError, match=r"predictions \[3\], label \[3\]"):
        absolute_errors(np.zeros(3), np.zeros(3), kind="mosi")
    with pytest.raises(InputError, match=r"predictions \[2, 1\], label \[3\]"):
        absolute_errors(np.zeros((2, 1)), np.zeros(3), kind="mosi")
    with pytest.raises(InputError, match=r"errors and groups \[3\] against \[1\]"):
        bootstrap_difference(np.zeros(3), np.zeros(1), name="b")
