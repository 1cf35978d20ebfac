"""Linear layers: the product, and PyTorch's initialisation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.layers.dense import Linear, uniform


@pytest.mark.parametrize("shape", [(4, 6), (2, 3, 6), (2, 1, 3, 6), (6,)])
def test_the_product_is_over_the_last_axis(shape):
    rng = np.random.default_rng(0)
    x, kernel, bias = (rng.normal(size=size).astype(np.float32) for size in (shape, (6, 5), (5,)))
    out = Linear(5).apply({"params": {"kernel": kernel, "bias": bias}}, x)
    np.testing.assert_allclose(out, np.einsum("...d,df->...f", x.astype(np.float64), kernel) + bias, atol=1e-5)


def test_parameters_start_uniform_within_one_over_the_root_of_the_input_width():
    params = Linear(200).init(jax.random.key(0), jnp.zeros((1, 100)))["params"]
    assert {name: value.shape for name, value in params.items()} == {"kernel": (100, 200), "bias": (200,)}
    for value in params.values():
        assert np.abs(value).max() <= 0.1
        np.testing.assert_allclose([value.min(), value.max()], [-0.1, 0.1], rtol=0.05)
        np.testing.assert_allclose(value.std(), 0.2 / 12**0.5, rtol=0.1)


def test_it_starts_as_torch_does():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs = torch.nn.Linear(100, 200)
    ours = Linear(200).init(jax.random.key(0), jnp.zeros((1, 100)))["params"]
    for name, tensor in (("kernel", theirs.weight), ("bias", theirs.bias)):
        values = tensor.detach().numpy()
        np.testing.assert_allclose(ours[name].std(), values.std(), rtol=0.1)
        np.testing.assert_allclose(np.abs(ours[name]).max(), np.abs(values).max(), rtol=0.05)


def test_different_keys_give_different_values_in_the_bounds():
    init = uniform(0.25)
    one, two = (np.asarray(init(jax.random.key(seed), (50,))) for seed in (0, 1))
    assert not np.array_equal(one, two)
    assert np.abs([one, two]).max() <= 0.25


def test_it_computes_in_the_dtype_it_is_given_and_keeps_float32_parameters():
    layer = Linear(3, jnp.bfloat16)
    params = layer.init(jax.random.key(0), jnp.zeros((2, 4)))
    assert {value.dtype for value in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    assert layer.apply(params, jnp.ones((2, 4))).dtype == jnp.bfloat16
