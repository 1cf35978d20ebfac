"""Gradient reversal: the value stays, the gradient turns around."""

import jax
import jax.numpy as jnp
import numpy as np

from msa_jax.layers.gradient_reversal import reverse_gradient

X = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)


def test_the_value_is_the_input():
    np.testing.assert_array_equal(reverse_gradient(X), X)


def test_the_gradient_has_the_opposite_sign():
    def loss(x):
        return (jnp.sin(x) * X).sum()

    plain = jax.grad(loss)(X)
    turned = jax.grad(lambda x: loss(reverse_gradient(x)))(X)
    np.testing.assert_array_equal(turned, -plain)


def test_what_stands_behind_it_keeps_its_gradient():
    gradient = jax.grad(lambda kernel: (reverse_gradient(X) @ kernel).sum())(jnp.ones((4, 2)))
    np.testing.assert_allclose(gradient, np.repeat(X.sum(0)[:, None], 2, 1), rtol=1e-6)


def test_it_works_in_a_compiled_program_and_along_an_axis_of_seeds():
    def loss(x):
        return (reverse_gradient(x) ** 2).sum()

    np.testing.assert_allclose(jax.jit(jax.grad(loss))(X), -2 * X, rtol=1e-6)
    np.testing.assert_allclose(jax.vmap(jax.grad(loss))(np.stack([X, 3 * X])), [-2 * X, -6 * X], rtol=1e-6)


def test_the_gradient_keeps_the_dtype_of_the_input():
    x = jnp.asarray(X, jnp.bfloat16)
    gradient = jax.grad(lambda x: reverse_gradient(x).astype(jnp.float32).sum())(x)
    assert gradient.dtype == jnp.bfloat16
    np.testing.assert_array_equal(gradient.astype(jnp.float32), np.full_like(X, -1))
