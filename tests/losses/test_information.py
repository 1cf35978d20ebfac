"""Likelihood and entropy estimates of MMIM against scipy and numpy in float64."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from msa_jax import losses

B, D = 7, 4
RNG = np.random.default_rng(0)
TARGET, MEAN, LOG_VARIANCE = RNG.normal(size=(3, B, D)).astype(np.float32)
SOME = np.array([1, 0, 1, 1, 0, 1, 1], bool)

FEATURES = np.tanh(RNG.normal(size=(40, D))).astype(np.float32)
LABEL = np.round(RNG.normal(size=40), 1).astype(np.float32)
LABEL[:4] = 0


def entropy_by_numpy(features, label, epsilon):
    """In float64; a class of d samples or fewer gives 0."""
    total = 0.0
    for members in (label > 0, label < 0):
        x = features[members].astype(np.float64)
        if len(x) > x.shape[1]:
            covariance = np.cov(x, rowvar=False, bias=True) + epsilon * np.eye(x.shape[1])
            total += np.linalg.slogdet(covariance)[1]
    return total / 4


# -- likelihood -------------------------------------------------------------------------------------------------------


def test_log_likelihood_is_the_log_density_up_to_its_constant():
    scale = np.exp(0.5 * LOG_VARIANCE.astype(np.float64))
    expected = stats.norm.logpdf(TARGET.astype(np.float64), MEAN, scale).sum(1) + D / 2 * math.log(2 * math.pi)
    found = losses.gaussian_log_likelihood(TARGET, MEAN, LOG_VARIANCE)
    assert found.shape == (B,)
    np.testing.assert_allclose(found, expected, rtol=2e-6)


def test_without_the_normaliser_a_larger_variance_is_always_better():
    wider = [losses.gaussian_log_likelihood(TARGET, MEAN, LOG_VARIANCE + k, normaliser=False) for k in (0, 1, 20)]
    expected = -((TARGET - MEAN).astype(np.float64) ** 2 / (2 * np.exp(LOG_VARIANCE.astype(np.float64)))).sum(1)
    np.testing.assert_allclose(wider[0], expected, rtol=2e-6)
    assert np.all(np.diff(np.stack(wider), axis=0) > 0)
    assert np.all(np.stack(wider) <= 0)


@pytest.mark.parametrize("normaliser", [True, False])
def test_masked_samples_have_no_likelihood_and_no_gradient(normaliser):
    def total(target, mean, log_variance, where=None):
        return losses.gaussian_log_likelihood(target, mean, log_variance, normaliser=normaliser, where=where).sum()

    spoiled = [np.where(SOME[:, None], x, np.float32(bad)) for x, bad in zip(
        (TARGET, MEAN, LOG_VARIANCE), (np.nan, np.inf, -1e4), strict=True
    )]  # fmt: skip
    value, gradients = jax.value_and_grad(total, argnums=(0, 1, 2))(*spoiled, SOME)
    expected = jax.value_and_grad(total, argnums=(0, 1, 2))(TARGET[SOME], MEAN[SOME], LOG_VARIANCE[SOME])
    np.testing.assert_allclose(value, expected[0], rtol=1e-6)
    for found, wanted in zip(gradients, expected[1], strict=True):
        np.testing.assert_allclose(np.asarray(found)[SOME], wanted, rtol=1e-6)
        np.testing.assert_array_equal(np.asarray(found)[~SOME], 0)


def test_a_wide_likelihood_of_bfloat16_is_summed_in_float32():
    given = [jnp.asarray(np.tile(x, (1, 75)), jnp.bfloat16) for x in (TARGET, MEAN, LOG_VARIANCE)]
    found = losses.gaussian_log_likelihood(*given)
    assert found.dtype == jnp.float32
    np.testing.assert_array_equal(found, losses.gaussian_log_likelihood(*(x.astype(jnp.float32) for x in given)))


def test_likelihood_of_another_shape_is_an_error():
    with pytest.raises(AssertionError):
        losses.gaussian_log_likelihood(TARGET, MEAN, LOG_VARIANCE[:, :1])
    with pytest.raises(AssertionError):
        losses.gaussian_log_likelihood(TARGET, MEAN, LOG_VARIANCE, where=SOME[:3])


# -- entropy ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("epsilon", [0.0, 1e-4, 0.1])
def test_entropy_of_many_samples_equals_numpy(epsilon):
    expected = entropy_by_numpy(FEATURES, LABEL, epsilon)
    np.testing.assert_allclose(losses.class_entropy(FEATURES, LABEL, epsilon=epsilon), expected, rtol=1e-5)


def test_samples_of_label_zero_take_no_part():
    moved = FEATURES.copy()
    moved[LABEL == 0] += 5
    np.testing.assert_array_equal(losses.class_entropy(moved, LABEL), losses.class_entropy(FEATURES, LABEL))


@pytest.mark.parametrize("epsilon", [0.0, 1e-4])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5])
def test_a_class_without_a_covariance_is_skipped(count, epsilon):
    label = np.where(np.arange(40) < count, 1.0, -1.0).astype(np.float32)
    value, gradient = jax.value_and_grad(losses.class_entropy)(FEATURES, label, epsilon=epsilon)
    np.testing.assert_allclose(value, entropy_by_numpy(FEATURES, label, epsilon), rtol=1e-4)
    assert np.all(np.isfinite(gradient))
    assert np.any(np.asarray(gradient)[:count]) == (count > D)


@pytest.mark.parametrize("spread", [np.zeros(D), np.eye(D)[0]])
def test_a_class_without_spread_has_a_finite_entropy_and_gradient(spread):
    flat = (np.linspace(-1, 1, 40)[:, None] * spread).astype(np.float32)
    value, gradient = jax.value_and_grad(losses.class_entropy)(flat, LABEL)
    np.testing.assert_allclose(value, entropy_by_numpy(flat, LABEL, 1e-4), rtol=1e-4)
    assert np.all(np.isfinite(gradient))


def test_no_samples_have_no_entropy():
    value, gradient = jax.value_and_grad(losses.class_entropy)(FEATURES, LABEL, where=np.zeros(40, bool))
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)


def test_masked_samples_change_neither_the_entropy_nor_its_gradient():
    where = np.arange(40) % 3 > 0
    features, label = np.where(where[:, None], FEATURES, np.float32(np.nan)), np.where(where, LABEL, np.float32(np.nan))
    value, gradient = jax.value_and_grad(losses.class_entropy)(features, label, where=where)
    expected = jax.value_and_grad(losses.class_entropy)(FEATURES[where], LABEL[where])
    np.testing.assert_allclose(value, expected[0], rtol=1e-5)
    np.testing.assert_allclose(np.asarray(gradient)[where], expected[1], rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(np.asarray(gradient)[~where], 0)


@pytest.mark.slow
def test_gradient_of_the_entropy_equals_finite_differences():
    with jax.enable_x64(True):
        features, label, step = FEATURES.astype(np.float64), LABEL.astype(np.float64), 1e-5
        gradient = jax.grad(losses.class_entropy)(features, label)
        for place in ((5, 0), (17, 3), (39, 2)):
            change = np.zeros_like(features)
            change[place] = step
            numeric = (
                losses.class_entropy(features + change, label) - losses.class_entropy(features - change, label)
            ) / (2 * step)
            np.testing.assert_allclose(gradient[place], numeric, rtol=1e-6)


def test_entropies_side_by_side_equal_those_apart():
    many = np.stack([FEATURES, FEATURES[::-1] * 0.3])
    labels = np.stack([LABEL, np.where(np.arange(40) < 3, 1, -(LABEL**2)).astype(np.float32)])
    found = jax.jit(jax.vmap(losses.class_entropy))(many, labels)
    np.testing.assert_allclose(
        found, [losses.class_entropy(x, y) for x, y in zip(many, labels, strict=True)], rtol=1e-5
    )


@pytest.mark.parametrize("log_variance", [-89.0, -1e4])
def test_a_variance_of_nothing_has_no_nan(log_variance):
    target, small = jnp.ones((1, 3)), jnp.full((1, 3), log_variance)
    found, of_mean = jax.value_and_grad(lambda mean: losses.gaussian_log_likelihood(target, mean, small).sum())(target)
    np.testing.assert_allclose(found, -1.5 * log_variance, rtol=1e-6)
    np.testing.assert_array_equal(of_mean, 0)


def test_entropy_of_another_shape_is_an_error():
    with pytest.raises(AssertionError):
        losses.class_entropy(FEATURES, LABEL[:-1])
    with pytest.raises(AssertionError):
        losses.class_entropy(FEATURES[0], LABEL[:D])


# -- contrast ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("rows", [1, 2, 32])
def test_the_contrast_of_identical_samples_is_the_logarithm_of_their_number(rows):
    same = jnp.tile(jnp.array([[0.6, 0.8]]), (rows, 1))
    found = losses.info_nce(same, same, temperature=1.0, denominator="keys")
    np.testing.assert_allclose(found, np.full(rows, math.log(rows)), rtol=1e-6, atol=1e-7)
