"""Low-rank fusion against the linear map of the outer product that it stands for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.layers.low_rank_fusion import LowRankFusion
from msa_jax.layers.tensor_fusion import tensor_fusion
from tests.quick import quick_jit

SIZES = {"audio": 2, "vision": 3, "text": 4}
RANK = 5


def embeddings(*names: str, rows: int = 6) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    made = {name: rng.normal(size=(rows, size)).astype(np.float32) for name, size in SIZES.items()}
    return {name: made[name] for name in names or SIZES}


def parameters(*names: str, rank: int = RANK) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    made = {f"{name}_factor": rng.normal(size=(rank, SIZES[name] + 1)) for name in names or SIZES}
    made |= {"weights": rng.normal(size=rank), "bias": rng.normal(size=1)}
    return {name: value.astype(np.float32) for name, value in made.items()}


def tensor(params: dict[str, np.ndarray]) -> np.ndarray:
    """W: the weighted sum of the outer products of the factors of each rank."""
    factors = [value.astype(np.float64) for name, value in params.items() if name.endswith("_factor")]
    total = np.zeros([factor.shape[1] for factor in factors])
    for i, weight in enumerate(params["weights"]):
        product = np.ones(())
        for factor in factors:
            product = np.multiply.outer(product, factor[i])
        total += weight * product
    return total


@pytest.mark.parametrize("names", [("audio", "vision", "text"), ("vision", "text"), ("audio",)], ids=str)
@pytest.mark.parametrize("rank", [1, RANK])
def test_it_is_the_linear_map_of_the_outer_product_by_a_tensor_of_its_rank(names, rank):
    given, params = embeddings(*names), parameters(*names, rank=rank)
    products, score = LowRankFusion(rank).apply({"params": params}, given)
    outer = np.asarray(tensor_fusion(list(given.values())), np.float64)
    expected = outer @ tensor(params).reshape(-1) + params["bias"]
    np.testing.assert_allclose(score, expected, rtol=1e-4, atol=1e-4)
    assert (products.shape, score.shape) == ((6, rank), (6,))
    np.testing.assert_allclose(products @ params["weights"] + params["bias"], score, rtol=1e-5, atol=1e-5)


def test_products_are_exact_to_float32_on_every_device_whatever_the_embeddings_are():
    given = {name: jnp.asarray(value, jnp.bfloat16) for name, value in embeddings().items()}
    text = jax.jit(LowRankFusion(RANK).apply).lower({"params": parameters()}, given).as_text()
    products = [line for line in text.splitlines() if "stablehlo.dot_general" in line]
    assert len(products) == 4
    assert all("precision = [HIGHEST, HIGHEST]" in line and "bf16" not in line for line in products)


def test_the_tensor_has_no_more_than_its_rank():
    unfolded = tensor(parameters(rank=2)).reshape(SIZES["audio"] + 1, -1)
    assert np.linalg.matrix_rank(unfolded) == 2


def test_it_costs_the_sum_of_the_widths():
    params = jax.eval_shape(LowRankFusion(RANK).init, jax.random.key(0), embeddings())["params"]
    shapes = {name: value.shape for name, value in params.items()}
    assert shapes == {name: value.shape for name, value in parameters().items()}


def test_factors_and_weights_start_xavier_normal_and_the_bias_at_0():
    rank, width = 40, 500
    params = quick_jit(LowRankFusion(rank).init)(jax.random.key(0), {"text": np.zeros((1, width))})["params"]
    assert np.std(params["text_factor"]) == pytest.approx(np.sqrt(2 / (rank + width + 1)), rel=0.03)
    assert np.abs(params["text_factor"]).max() > 3 * np.std(params["text_factor"])  # not cut off
    draw = jax.vmap(lambda key: LowRankFusion(3).init(key, embeddings("text"))["params"]["weights"])
    many = quick_jit(draw)(jax.random.split(jax.random.key(1), 500))
    assert np.std(many) == pytest.approx(np.sqrt(2 / 4), rel=0.06)
    np.testing.assert_array_equal(params["bias"], 0)


def test_it_is_float32_whatever_the_embeddings_are():
    low = {name: jnp.asarray(z, jnp.bfloat16) for name, z in embeddings().items()}
    high = {name: jnp.asarray(z, jnp.float32) for name, z in low.items()}
    apply = LowRankFusion(RANK).apply
    for one, other in zip(apply({"params": parameters()}, low), apply({"params": parameters()}, high), strict=True):
        assert one.dtype == jnp.float32
        np.testing.assert_array_equal(one, other)


def test_one_sample_keeps_its_axis_and_embeddings_of_different_batches_are_an_error():
    fusion, params = LowRankFusion(RANK), {"params": parameters()}
    products, score = fusion.apply(params, embeddings(rows=1))
    assert (products.shape, score.shape) == ((1, RANK), (1,))
    with pytest.raises(AssertionError):
        fusion.apply(params, {**embeddings(), "text": np.ones((3, SIZES["text"]), np.float32)})
