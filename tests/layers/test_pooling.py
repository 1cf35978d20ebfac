"""Means over valid steps, against numpy and torch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.layers.pooling import adaptive_mean, masked_mean, max_over_vmap

LENGTHS = np.array([7, 1, 4, 0], np.int32)


def sequences(steps: int = 7, fill: float = np.nan) -> np.ndarray:
    """[4, steps, 3], `fill` at padding."""
    x = np.random.default_rng(0).normal(size=(4, 7, 3)).astype(np.float32)
    x = np.pad(x, [(0, 0), (0, steps - 7), (0, 0)])
    x[np.arange(steps) >= LENGTHS[:, None]] = fill
    return x


@pytest.mark.parametrize("steps", [7, 12])
def test_the_mean_is_over_valid_steps_whatever_stands_at_padding(steps):
    x = sequences(steps)
    want = [x[row, :n].astype(np.float64).mean(0) if n else np.zeros(3) for row, n in enumerate(LENGTHS)]
    np.testing.assert_allclose(masked_mean(x, LENGTHS), want, atol=1e-6)


def test_gradients_of_the_means_are_finite_and_zero_at_padding():
    x = sequences()
    for function in (
        lambda x: masked_mean(x, LENGTHS),
        lambda x: adaptive_mean(x, LENGTHS, 5, jnp.array([5, 3, 2, 4])),
    ):
        gradient = np.asarray(jax.grad(lambda x: function(x).sum())(x))  # noqa: B023
        assert np.isfinite(gradient).all()
        assert (gradient[np.isnan(x)] == 0).all()
        assert (gradient[~np.isnan(x)] > 0).all()


def test_a_mean_in_bfloat16_is_summed_in_float32():
    x = jnp.ones((1, 1000, 2), jnp.bfloat16)
    found = masked_mean(x, jnp.array([1000]))
    assert found.dtype == jnp.bfloat16
    np.testing.assert_array_equal(found, 1)


def by_hand(x: np.ndarray, m: int) -> np.ndarray:
    n = len(x)
    return np.array([x[j * n // m : -(-(j + 1) * n // m)].mean(0) for j in range(m)]).reshape(m, x.shape[1])


@pytest.mark.parametrize("target", [[7, 1, 4, 2], [3, 3, 3, 3], [1, 5, 2, 0], [9, 9, 9, 9], [0, 1, 0, 1]], ids=str)
def test_each_sequence_is_averaged_to_its_own_length(target):
    x, target = sequences(), np.array(target, np.int32)
    found = np.asarray(jax.jit(adaptive_mean, static_argnums=2)(x, LENGTHS, 9, target))
    assert found.shape == (4, 9, 3)
    for row, (n, m) in enumerate(zip(LENGTHS, target, strict=True)):
        want = by_hand(x[row, :n].astype(np.float64), m) if n else np.zeros((m, 3))
        np.testing.assert_allclose(found[row, :m], want, atol=1e-6)
        assert (found[row, m:] == 0).all()


def test_the_same_length_changes_nothing():
    x = sequences(fill=0.0)
    np.testing.assert_array_equal(adaptive_mean(x, LENGTHS, 7, LENGTHS), x)


@pytest.mark.parametrize(("n", "m"), [(7, 3), (50, 13), (5, 8), (375, 50), (500, 50)])
def test_bins_are_those_of_torch(n, m):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(1).normal(size=(1, n, 2)).astype(np.float32)
    want = torch.nn.AdaptiveAvgPool1d(m)(torch.tensor(x).transpose(1, 2)).transpose(1, 2).numpy()
    np.testing.assert_allclose(adaptive_mean(x, jnp.array([n]), m, jnp.array([m])), want, atol=1e-5)


def test_a_count_is_the_largest_of_all_runs_side_by_side():
    assert max_over_vmap(jnp.int32(3)) == 3
    counts = jnp.array([[3, 1], [2, 7]])
    np.testing.assert_array_equal(jax.vmap(max_over_vmap)(counts[0]), [3, 3])
    np.testing.assert_array_equal(jax.vmap(jax.vmap(max_over_vmap))(counts), [[7, 7], [7, 7]])

    def spared(x, count):
        return jax.lax.cond(max_over_vmap(count) > 1, jnp.square, jnp.zeros_like, x)

    lowered = jax.jit(jax.vmap(jax.grad(spared))).lower(jnp.ones(2), counts[0])
    assert "stablehlo.case" in lowered.as_text()
    np.testing.assert_array_equal(lowered.compile()(jnp.ones(2), counts[0]), [2, 2])
