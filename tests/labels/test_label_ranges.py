"""Label ranges that are not the same on both sides of 0: both rules of label generation, and what is neutral."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.labels import self_mm, sugrm
from msa_jax.methods.protocol import Inputs

RULES = pytest.mark.parametrize("rule", [self_mm, sugrm], ids=lambda rule: rule.__name__.rsplit(".", 1)[-1])


def generated(rule, labels, *, limit, neutral=0.0, noise=1.0):
    """The u-labels of the text after four epochs of the same features, which follow the order of the labels."""
    rows = np.arange(len(labels))
    state = rule.init(labels, {"m": 4, "t": 4}, neutral=neutral)
    rng = np.random.default_rng(3)
    for epoch in (1, 2, 3, 4):
        features = {task: (rows - 30.0)[:, None] / 20 + noise * rng.normal(size=(len(rows), 4)) for task in ("m", "t")}
        features = {task: jnp.asarray(value, jnp.float32) for task, value in features.items()}
        for part in np.split(rows, 3):
            batch = {task: value[part] for task, value in features.items()}
            state = rule.update(state, jnp.asarray(part), batch, epoch=epoch, limit=limit, neutral=neutral)
        state = rule.refresh_centres(state, neutral=neutral)
    return np.asarray(state.labels["t"])


@RULES
def test_one_to_five_is_minus_two_to_two_from_three_on(rule):
    labels = np.linspace(1, 5, 60, dtype=np.float32)
    found = generated(rule, labels, limit=(1.0, 5.0), neutral=3.0)
    np.testing.assert_allclose(found - 3, generated(rule, labels - 3, limit=2.0), atol=1e-5)
    assert np.abs(found - labels).mean() > 0.1  # they do move


@RULES
def test_labels_stay_in_a_range_that_is_not_symmetric(rule):
    labels = np.linspace(-1, 3, 60, dtype=np.float32)
    found = generated(rule, labels, limit=(-1.0, 3.0), noise=3.0)
    assert -1 <= found.min() <= found.max() <= 3
    assert generated(rule, labels, limit=3.0, noise=3.0).min() < -1


def _one_step(rule, *, rows=(0, 1), limit=3.0, where=None):
    """The u-labels of the text after one mini-batch of epoch two."""
    features = np.random.default_rng(0).normal(size=(2, 6, 4)).astype(np.float32)
    state = rule.init(np.array([-3, -2, -1, 1, 2, 3], np.float32), {"m": 4, "t": 4})
    everyone = dict(zip("mt", features, strict=True))
    state = rule.update(state, jnp.arange(6), everyone, epoch=1, limit=3.0)
    some = {task: value[:2] for task, value in everyone.items()}
    return np.asarray(rule.update(state, rows, some, epoch=2, limit=limit, where=where).labels["t"])


@RULES
def test_a_limit_is_a_number_or_a_pair_in_any_sequence(rule):
    np.testing.assert_array_equal(_one_step(rule, limit=[-3.0, 3.0]), _one_step(rule, limit=3.0))
    for limit in (np.array([-3.0, 3.0]), (np.zeros(2), 3.0)):
        with jax.numpy_rank_promotion("allow"), pytest.raises(AssertionError):
            _one_step(rule, limit=limit)


@RULES
def test_rows_may_be_a_list_and_the_rows_that_count_may_be_numbers(rule):
    expected = _one_step(rule, rows=jnp.arange(2), where=np.array([True, False]))
    np.testing.assert_array_equal(_one_step(rule, rows=[0, 1], where=np.array([1.0, 0.0])), expected)
    assert (expected != _one_step(rule, rows=jnp.arange(2), where=np.array([True, True]))).any()


@pytest.mark.parametrize(
    ("label_range", "neutral"), [((-3.0, 3.0), 0.0), ((-1.0, 3.0), 0.0), ((1.0, 5.0), 3.0), ((0.0, 10.0), 5.0)]
)
def test_the_neutral_label_lies_inside_the_range(label_range, neutral):
    assert Inputs(rows=1, label_range=label_range).neutral == neutral
