"""The outer product of embeddings, against numpy."""

import jax.numpy as jnp
import numpy as np
import pytest

from msa_jax.layers.tensor_fusion import tensor_fusion, with_one

SIZES = {"a": 2, "v": 3, "t": 4}


def embeddings(*names: str, rows: int = 5) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    made = {name: rng.normal(size=(rows, size)).astype(np.float32) for name, size in SIZES.items()}
    return [made[name] for name in names]


def by_numpy(*vectors: np.ndarray) -> np.ndarray:
    """Sample by sample, np.multiply.outer of [1; z]."""
    rows = []
    for sample in zip(*vectors, strict=True):
        product = np.ones(())
        for z in sample:
            product = np.multiply.outer(product, np.concatenate([[1.0], z]))
        rows.append(product.reshape(-1))
    return np.array(rows)


@pytest.mark.parametrize("names", ["avt", "tva", "av", "t"])
def test_it_is_the_outer_product_of_embeddings_with_a_one_in_front(names):
    vectors = embeddings(*names)
    fused = tensor_fusion(vectors)
    assert fused.shape == (5, np.prod([vector.shape[1] + 1 for vector in vectors]))
    np.testing.assert_allclose(fused, by_numpy(*vectors), rtol=1e-5, atol=1e-6)


def test_it_holds_every_modality_every_pair_and_the_three():
    audio, vision, text = embeddings(*"avt")
    fused = np.asarray(tensor_fusion([audio, vision, text])).reshape(5, 3, 4, 5)
    np.testing.assert_array_equal(fused[:, 0, 0, 0], 1)
    np.testing.assert_array_equal(fused[:, 1:, 0, 0], audio)
    np.testing.assert_array_equal(fused[:, 0, 1:, 0], vision)
    np.testing.assert_array_equal(fused[:, 0, 0, 1:], text)
    np.testing.assert_allclose(fused[:, 1:, 1:, 0], audio[:, :, None] * vision[:, None], rtol=1e-6)
    np.testing.assert_allclose(fused[:, 1:, 0, 1:], audio[:, :, None] * text[:, None], rtol=1e-6)


def test_an_embedding_of_zeros_leaves_the_product_of_the_others():
    audio, vision, text = embeddings(*"avt")
    fused = np.asarray(tensor_fusion([audio, np.zeros_like(vision), text])).reshape(5, 3, 4, 5)
    np.testing.assert_array_equal(fused[:, :, 0].reshape(5, -1), tensor_fusion([audio, text]))
    np.testing.assert_array_equal(fused[:, :, 1:], 0)


def test_it_is_float32_whatever_the_embeddings_are():
    audio, vision, text = (jnp.asarray(z, jnp.bfloat16) for z in embeddings(*"avt"))
    fused = tensor_fusion([audio, vision, text])
    assert fused.dtype == jnp.float32
    np.testing.assert_array_equal(fused, tensor_fusion([jnp.asarray(z, jnp.float32) for z in (audio, vision, text)]))
    assert with_one(audio).dtype == jnp.float32


def test_one_sample_keeps_its_axis():
    assert tensor_fusion(embeddings(*"avt", rows=1)).shape == (1, 60)


def test_embeddings_of_different_batches_are_an_error():
    audio, _, text = embeddings(*"avt")
    with pytest.raises(AssertionError):
        tensor_fusion([audio, text[:3]])
