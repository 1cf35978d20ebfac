"""Mean ranks of methods and Nemenyi's critical difference, against loops and printed values."""

import numpy as np
import pytest
from scipy import stats

from msa_jax.errors import InputError
from msa_jax.report.ranks import rank_methods

# Critical values of the two-tailed Nemenyi test at 5 %, as Demsar (2006, Table 5a) prints them.
PRINTED = {2: 1.960, 3: 2.343, 4: 2.569, 5: 2.728, 10: 3.164}


@pytest.mark.parametrize(("methods", "quantile"), PRINTED.items())
def test_the_critical_difference_is_that_of_the_printed_table(methods, quantile):
    errors = np.random.default_rng(methods).random((methods, 30))
    found = rank_methods({str(number): row for number, row in enumerate(errors)})
    assert found.difference == pytest.approx(quantile * np.sqrt(methods * (methods + 1) / (6 * 30)), rel=3e-4)


def test_ranks_are_counted_within_each_sample_and_ties_shared():
    errors = np.round(np.random.default_rng(0).random((3, 25)), 1)
    names = ("a", "b", "c")
    found = rank_methods(dict(zip(names, errors, strict=True)))
    for name, own in zip(names, errors, strict=True):
        smaller = [(other < own).mean() for other in errors]
        equal = [(other == own).mean() for other in errors]
        assert found.mean[name] == pytest.approx(1 + sum(smaller) + (sum(equal) - 1) / 2)
    assert list(found.mean.values()) == sorted(found.mean.values())
    assert found.p == pytest.approx(stats.friedmanchisquare(*errors).pvalue)


def test_groups_are_the_methods_that_are_not_told_apart():
    base = np.random.default_rng(1).random(400)
    near = base + np.random.default_rng(2).normal(0, 0.1, 400)
    found = rank_methods({"far": base + 2, "one": base, "two": near, "farther": base + 3})
    assert found.groups == (("one", "two"),) or found.groups == (("two", "one"),)
    assert rank_methods({"a": base, "b": base + 1}).groups == ()
    assert rank_methods({"a": base, "b": base}).groups == (("a", "b"),)
    assert rank_methods({"a": base, "b": base, "c": base}).p is None


@pytest.mark.parametrize(
    "errors", [{}, {"a": np.zeros(3)}, {"a": np.zeros(3), "b": np.zeros(2)}, dict.fromkeys("ab", np.zeros(0))]
)
def test_what_cannot_be_ranked_is_refused(errors):
    with pytest.raises(InputError, match="expected \\[N\\] of each of two methods or more"):
        rank_methods(errors)
