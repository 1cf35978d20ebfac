"""Feature cutoff: exactly so many features of each sample, at every step, in training alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.errors import InputError
from msa_jax.layers.cutoff import FeatureCutoff, cutoff


@pytest.mark.parametrize(
    ("ratio", "width", "count"),
    [(0.2, 128, 25), (0.2, 5, 1), (0.2, 4, 0), (0.29, 100, 29), (0.0, 7, 0), (1.0, 7, 7), (0.999, 7, 6), (0.5, 1, 0)],
)
def test_each_sample_loses_exactly_floor_of_ratio_times_width_features(ratio, width, count):
    x = np.random.default_rng(0).uniform(1, 2, (40, 3, width)).astype(np.float32)
    for given in (ratio, jnp.float32(ratio)):
        found = np.asarray(jax.jit(cutoff)(jax.random.key(0), x, given))
        assert ((found == 0).sum(-1) == count).all()
        np.testing.assert_array_equal(found[found != 0], x[found != 0])  # nothing is scaled


def test_a_sample_loses_the_same_features_at_every_step_and_others_than_its_neighbours():
    gone = np.asarray(cutoff(jax.random.key(0), np.ones((30, 6, 40), np.float32), 0.2)) == 0
    assert (gone == gone[:, :1]).all()
    assert len({tuple(row) for row in gone[:, 0]}) == 30
    other = np.asarray(cutoff(jax.random.key(1), np.ones((30, 6, 40), np.float32), 0.2)) == 0
    assert not (gone == other).all()


def test_every_feature_goes_equally_often():
    rows, width, count = 4000, 10, 3
    gone = np.asarray(cutoff(jax.random.key(0), np.ones((rows, 1, width), np.float32), 0.3))[:, 0] == 0
    share = count / width
    error = (share * (1 - share) / rows) ** 0.5
    assert (np.abs(gone.mean(0) - share) < 4.5 * error).all()
    # Without replacement, two features go together in 3/10 of 2/9 of the samples.
    together = (gone[:, :1] & gone[:, 1:]).mean(0)
    assert (np.abs(together - 3 / 10 * 2 / 9) < 0.02).all()


def test_evaluation_is_the_identity_and_asks_for_no_key():
    x = jnp.ones((2, 3, 10))
    np.testing.assert_array_equal(FeatureCutoff(0.5).apply({}, x, train=False), x)
    found = FeatureCutoff(0.5).apply({}, x, train=True, rngs={"dropout": jax.random.key(0)})
    assert (np.asarray(found == 0).sum(-1) == 5).all()


def test_what_is_gone_has_no_gradient_and_the_type_stays():
    x = jnp.ones((2, 3, 10), jnp.bfloat16)
    found = cutoff(jax.random.key(0), x, 0.4)
    assert found.dtype == jnp.bfloat16
    gradient = jax.grad(lambda x: cutoff(jax.random.key(0), x, 0.4).astype(jnp.float32).sum())(x)
    np.testing.assert_array_equal(np.asarray(gradient, np.float32), np.asarray(found, np.float32))


@pytest.mark.parametrize("ratio", [-0.1, 1.5])
def test_a_ratio_that_is_none_is_refused(ratio):
    with pytest.raises(InputError, match=f"option cutoff is {ratio}"):
        FeatureCutoff(ratio).apply({}, jnp.ones((1, 1, 4)), train=False)
