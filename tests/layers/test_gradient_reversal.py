"""Gradient reversal: the value stays, the gradient turns around."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.layers.gradient_reversal import reverse_gradient

X = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)


def test_the_value_is_the_input():
    np.testing.assert_array_equal(reverse_gradient(X, 0.3), X)


@pytest.mark.parametrize("weight", [1.0, 0.3, 0.0])
def test_the_gradient_is_multiplied_by_minus_the_weight(weight):
    def loss(x):
        return (jnp.sin(x) * X).sum()

    plain = jax.grad(loss)(X)
    turned = jax.grad(lambda x: loss(reverse_gradient(x, weight)))(X)
    np.testing.assert_allclose(turned, -weight * plain, rtol=1e-6)


def test_the_weight_is_one_unless_another_is_given():
    np.testing.assert_array_equal(jax.grad(lambda x: reverse_gradient(x).sum())(X), -np.ones_like(X))


def test_what_stands_behind_it_keeps_its_gradient():
    gradient = jax.grad(lambda kernel: (reverse_gradient(X) @ kernel).sum())(jnp.ones((4, 2)))
    np.testing.assert_allclose(gradient, np.repeat(X.sum(0)[:, None], 2, 1), rtol=1e-6)


def test_the_weight_may_be_traced_and_gets_no_gradient():
    def loss(weight, x):
        return (reverse_gradient(x, weight) ** 2).sum()

    of_weight, of_x = jax.jit(jax.grad(loss, (0, 1)))(0.5, X)
    assert of_weight == 0
    np.testing.assert_allclose(of_x, -X, rtol=1e-6)
    many = jax.vmap(jax.grad(loss, 1), (0, None))(jnp.array([0.5, 2.0]), X)
    np.testing.assert_allclose(many, [-X, -4 * X], rtol=1e-6)


def test_the_gradient_keeps_the_dtype_of_the_input():
    x = jnp.asarray(X, jnp.bfloat16)
    gradient = jax.grad(lambda x: reverse_gradient(x, 0.5).astype(jnp.float32).sum())(x)
    assert gradient.dtype == jnp.bfloat16
    np.testing.assert_array_equal(gradient.astype(jnp.float32), np.full_like(X, -0.5))
