"""A linear map of the outer product of modalities, without the product (LMF, Liu et al. 2018)."""

from collections.abc import Mapping

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax.layers.tensor_fusion import with_one

Array = jax.Array


class LowRankFusion(nn.Module):
    """The score W · ([1; z_1] ⊗ [1; z_2] ⊗ ...) + b, for a tensor W of low rank (LMF, section 3.2).

    W = sum_i omega_i (w_1^i ⊗ w_2^i ⊗ ...) is a sum of R outer products of vectors, so the score is

        sum_i omega_i (w_1^i · [1; z_1]) (w_2^i · [1; z_2]) ... + b

    and costs the sum of the widths instead of their product.

    rank: R.

    Parameters: `NAME_factor` [R, d + 1] of each embedding, `weights` [R] (omega), `bias` [1]. The factors and omega start
    Xavier-normal, as both published codes have them, omega as a matrix of one row; the bias starts at 0.
    """

    rank: int

    @nn.compact
    def __call__(self, embeddings: Mapping[str, Array]) -> tuple[Array, Array]:
        """The products of each rank, and the score; both in float32, whatever the embeddings are.

        Args:
          embeddings: at least one, [B, d] each, by the names of the factors.

        Returns:
          [B, R] and [B].
        """
        chex.assert_rank(list(embeddings.values()), 2)
        chex.assert_equal_shape_prefix(list(embeddings.values()), 1)
        product = jnp.ones((1, self.rank), jnp.float32)
        for name, z in embeddings.items():
            extended = with_one(z)
            shape = self.rank, extended.shape[1]
            factor = self.param(f"{name}_factor", _xavier(*shape), shape, jnp.float32)
            product = product * jnp.matmul(extended, factor.T, precision=jax.lax.Precision.HIGHEST)
        weights = self.param("weights", _xavier(self.rank, 1), (self.rank,), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (1,), jnp.float32)
        return product, jnp.matmul(product, weights, precision=jax.lax.Precision.HIGHEST) + bias


def _xavier(one: int, other: int) -> nn.initializers.Initializer:
    """Normal values with the variance 2 / (fan in + fan out)."""
    return nn.initializers.normal((2 / (one + other)) ** 0.5)
