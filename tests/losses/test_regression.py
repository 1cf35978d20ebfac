"""Regression losses against numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax import losses
from msa_jax.errors import InputError

RNG = np.random.default_rng(0)
PREDICTION, TARGET = RNG.normal(size=(2, 40)).astype(np.float32)


def test_l1_is_the_absolute_difference_of_each_sample():
    np.testing.assert_allclose(losses.l1(PREDICTION, TARGET), np.abs(PREDICTION - TARGET), rtol=1e-6)


def test_weighted_l1_multiplies_each_sample():
    weight = RNG.uniform(size=40).astype(np.float32)
    expected = weight * np.abs(PREDICTION - TARGET)
    np.testing.assert_allclose(losses.weighted_l1(PREDICTION, TARGET, weight), expected, rtol=1e-6)


@pytest.mark.parametrize("beta", [0.3, 1.0, 2.0])
def test_smooth_l1_is_quadratic_then_linear(beta):
    d = np.abs(PREDICTION.astype(np.float64) - TARGET)
    expected = [0.5 * x * x / beta if x < beta else x - 0.5 * beta for x in d]
    np.testing.assert_allclose(losses.smooth_l1(PREDICTION, TARGET, beta=beta), expected, rtol=1e-5, atol=1e-6)


def test_smooth_l1_equals_torch():
    torch = pytest.importorskip("torch")
    expected = torch.nn.functional.smooth_l1_loss(
        torch.tensor(PREDICTION), torch.tensor(TARGET), reduction="none", beta=0.7
    )
    np.testing.assert_allclose(losses.smooth_l1(PREDICTION, TARGET, beta=0.7), expected.numpy(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("loss", [losses.l1, losses.l2, losses.smooth_l1])
def test_masked_samples_give_zero_even_where_they_are_not_finite(loss):
    where = np.arange(40) % 2 == 0
    prediction = np.where(where, PREDICTION, np.nan).astype(np.float32)
    found = np.asarray(loss(prediction, TARGET, where=where))
    np.testing.assert_array_equal(found[~where], 0)
    np.testing.assert_allclose(found[where], np.asarray(loss(PREDICTION, TARGET))[where])
    assert np.all(np.asarray(loss(prediction, TARGET, where=np.zeros(40, bool))) == 0)
    gradient = jax.grad(lambda prediction: loss(prediction, TARGET, where=where).sum())(prediction)
    np.testing.assert_array_equal(gradient[~where], 0)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("loss", [losses.l1, losses.smooth_l1])
def test_a_column_against_a_vector_is_an_error(loss):
    with pytest.raises(AssertionError):
        loss(PREDICTION[:, None], TARGET)


@pytest.mark.parametrize("loss", [losses.l1, losses.l2, losses.smooth_l1])
@pytest.mark.parametrize("shape", [(40, 1), (1,), ()])
def test_a_mask_of_another_shape_is_an_error(loss, shape):
    with jax.numpy_rank_promotion("allow"), pytest.raises(AssertionError):
        loss(PREDICTION, TARGET, where=np.ones(shape, bool))


@pytest.mark.parametrize("beta", [0.0, -1.0, np.float32(0)])
def test_a_beta_that_is_not_positive_is_an_error(beta):
    with pytest.raises(InputError, match=r"option beta is .*; expected a positive number"):
        losses.smooth_l1(PREDICTION, TARGET, beta=beta)


def test_what_comes_in_bfloat16_is_computed_in_float32():
    given = [jnp.asarray(x, jnp.bfloat16) for x in (PREDICTION, TARGET)]
    exact = [x.astype(jnp.float32) for x in given]
    for loss in (losses.l1, losses.l2, losses.smooth_l1, lambda x, y: losses.weighted_l1(x, y, y)):
        found = loss(*given)
        assert found.dtype == jnp.float32
        np.testing.assert_array_equal(found, loss(*exact))
    found, expected = (
        losses.sequence_l2(*(x.reshape(2, 4, 5) for x in pair), np.array([4, 3], np.int32)) for pair in (given, exact)
    )
    assert found.dtype == jnp.float32
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("loss", [losses.l1, losses.smooth_l1])
def test_jit_and_vmap_change_nothing(loss):
    plain = loss(PREDICTION, TARGET)
    np.testing.assert_allclose(jax.jit(loss)(PREDICTION, TARGET), plain, rtol=1e-6)
    np.testing.assert_allclose(jax.vmap(loss)(PREDICTION, TARGET), plain, rtol=1e-6)


def test_gradient_of_smooth_l1_equals_finite_differences():
    f = lambda p: losses.smooth_l1(p, jnp.asarray(TARGET)).sum()  # noqa: E731
    step = 1e-2
    d = np.abs(PREDICTION - TARGET)
    smooth = np.abs(d - 1) > 2 * step  # away from where the branches meet
    numeric = [
        float(f(PREDICTION + step * e) - f(PREDICTION - step * e)) / (2 * step) for e in np.eye(40, dtype=np.float32)
    ]
    np.testing.assert_allclose(np.asarray(jax.grad(f)(PREDICTION))[smooth], np.array(numeric)[smooth], atol=5e-3)


def test_the_error_of_a_sequence_is_the_mean_over_its_own_steps():
    written, target = RNG.normal(size=(2, 3, 4, 5)).astype(np.float32)
    length, where = np.array([4, 2, 0], np.int32), np.array([True, True, False])
    expected = [np.square(x - y)[:n].mean() if n else 0 for x, y, n in zip(written, target, length, strict=True)]
    target[1, 2:] = np.nan
    np.testing.assert_allclose(losses.sequence_l2(written, target, length), expected, rtol=1e-5)
    found = losses.sequence_l2(written, target, length, where=~where)
    np.testing.assert_array_equal(found, 0)
    gradient = jax.grad(lambda written: losses.sequence_l2(written, target, length).sum())(written)
    np.testing.assert_array_equal(gradient[1, 2:], 0)
    assert np.isfinite(gradient).all()
    with pytest.raises(AssertionError):
        losses.sequence_l2(written[:, :3], target, length)
    with pytest.raises(AssertionError):
        losses.sequence_l2(written, target, length, where=where[:, None])
