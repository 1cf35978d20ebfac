"""Linear layers: the product, and PyTorch's initialisation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.encoders.cnn import Convolution
from msa_jax.encoders.parallel_lstm import ParallelLSTM
from msa_jax.layers.dense import Affine, Linear, uniform
from msa_jax.layers.subnetworks import FeatureScoreHead, Perceptron, ResidualScoreHead, ScoreHead


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


def test_the_gradient_of_a_bias_is_a_float32_sum_in_bfloat16_too():
    x = jnp.ones((64, 500, 4), jnp.bfloat16)
    layer = Linear(2, jnp.bfloat16)
    params = layer.init(jax.random.key(0), x)["params"]
    found = jax.grad(lambda params: layer.apply({"params": params}, x).astype(jnp.float32).sum())(params)
    np.testing.assert_array_equal(found["bias"], 32000)
    found = jax.grad(lambda bias: Affine(jnp.ones((4, 2), jnp.bfloat16), bias)(x).astype(jnp.float32).sum())(
        jnp.zeros(2)
    )
    np.testing.assert_array_equal(found, 32000)


def test_the_gradients_of_an_lstm_and_a_convolution_are_about_those_of_float32():
    x = jax.random.normal(jax.random.key(0), (32, 300, 4))
    length = jnp.full(32, 300, jnp.int32)

    def gradients(dtype):
        lstm, cnn = ParallelLSTM({"audio": 6}, dtype), Convolution(6, 3, 1, dtype=dtype)
        states = lambda params: lstm.apply(params, {"audio": x}, length).states.astype(jnp.float32).sum()  # noqa: E731
        latent = lambda params: cnn.apply(params, x).astype(jnp.float32).sum()  # noqa: E731
        drawn = lstm.init(jax.random.key(1), {"audio": x}, length), cnn.init(jax.random.key(1), x)
        return jax.tree.leaves((jax.grad(states)(drawn[0]), jax.grad(latent)(drawn[1])))

    for half, whole in zip(gradients(jnp.bfloat16), gradients(jnp.float32), strict=True):
        assert np.linalg.norm(half - whole) < 0.02 * np.linalg.norm(whole)


@pytest.mark.parametrize(
    "head",
    [
        ScoreHead(8, dtype=jnp.bfloat16),
        FeatureScoreHead(8, dtype=jnp.bfloat16),
        ResidualScoreHead(dtype=jnp.bfloat16),
        Perceptron(8, 1, dtype=jnp.bfloat16, output=jnp.float32),
    ],
    ids=lambda head: type(head).__name__,
)
def test_a_score_is_not_rounded_to_bfloat16(head):
    x = jax.random.normal(jax.random.key(0), (2000, 8))
    drawn = head.init(jax.random.key(1), x, train=False)
    moved = jax.tree.map_with_path(lambda path, leaf: leaf + 50 * ("score" in str(path) and leaf.shape == (1,)), drawn)
    out = head.apply(moved, x, train=False)
    score = out if isinstance(out, jax.Array) else out[1]
    assert score.dtype == jnp.float32
    assert len(np.unique(score)) > 500  # a bfloat16 near 50 is a multiple of a quarter
