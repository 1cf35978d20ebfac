"""Array operations that JAX's own spell out at length."""

import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.layers.functional import product


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
