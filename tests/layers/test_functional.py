"""Array operations that JAX's own spell out at length."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.layers.functional import dynamic_part, product, put_part


# XLA's CPU has no product of bfloat16 numbers in float32 for the second.
@pytest.mark.parametrize("axes", ["bi,io->bo", "sdri,dio->sdro"])
def test_products_of_bfloat16_are_not_rounded_to_it(axes):
    size = dict(zip("bsdrio", (5, 16, 2, 8, 32, 256), strict=True))
    rng = np.random.default_rng(0)
    given = [
        jnp.asarray(rng.normal(size=[size[axis] for axis in each]), jnp.bfloat16)
        for each in axes.split("->")[0].split(",")
    ]
    found = product(axes, *given)
    assert found.dtype == jnp.float32
    expected = np.einsum(axes, *(np.asarray(x, np.float64) for x in given))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("row", [np.int32(2), np.int64(2)], ids=["int32", "int64"])
def test_a_place_may_mix_traced_integers_with_those_of_python(bits, row):
    x = np.arange(12.0, dtype=np.float32).reshape(4, 3)
    with jax.enable_x64(bits == 64):
        np.testing.assert_array_equal(jax.jit(lambda row: dynamic_part(x, (row, 1), (2, 2)))(row), x[2:, 1:])
        moved = jax.jit(lambda row: put_part(x, jnp.zeros((1, 2), x.dtype), (row, 1)))(row)
    np.testing.assert_array_equal(moved, np.where((np.arange(4)[:, None] == 2) & (np.arange(3) > 0), 0, x))
