"""The outer product of modalities (TFN, Zadeh et al. 2017, section 4.2)."""

from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp

Array = jax.Array


def with_one(x: Array) -> Array:
    """[1; x]: x [B, d] -> [B, d + 1] float32, a 1 in front of each embedding.

    In a product with others the 1 keeps what each modality, and each pair of them, says by itself.
    """
    return jnp.pad(x.astype(jnp.float32), ((0, 0), (1, 0)), constant_values=1.0)


def tensor_fusion(embeddings: Sequence[Array]) -> Array:
    """[1; z_1] ⊗ [1; z_2] ⊗ ..., flattened (TFN, eq. 2).

    Args:
      embeddings: at least one, [B, d_m] each.

    Returns:
      [B, (d_1 + 1) (d_2 + 1) ...] float32 whatever the embeddings are, since bfloat16 would round a product of three twice;
      the last embedding's index runs fastest.
    """
    chex.assert_rank(list(embeddings), 2)
    chex.assert_equal_shape_prefix(list(embeddings), 1)
    factors = [with_one(z) for z in embeddings]
    fused = factors[0]
    for factor in factors[1:]:
        fused = (fused[:, :, None] * factor[:, None, :]).reshape(len(fused), fused.shape[1] * factor.shape[1])
    return fused
