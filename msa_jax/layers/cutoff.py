"""Feature cutoff: augmentation of a sequence by taking some of its features away."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax.errors import InputError
from msa_jax.layers.dropout import random_words

Array = jax.Array


def cutoff(key: Array, x: Array, ratio: float | Array) -> Array:
    """`x` with some of its features set to zero at every step; the others stay as they are.

    Each sample loses floor(ratio * D) features, exactly so many, drawn without replacement, and the same ones at all its
    steps: whole columns of the embedding matrix, as in the cutoff of Shen et al. Unlike dropout nothing is scaled up.

    Args:
      key: one key.
      x: [B, L, D].
      ratio: in [0, 1]; a number or a traced scalar.

    Returns:
      [B, L, D], the dtype of `x`.

    Source: Shen et al. 2020, A simple but tough-to-beat data augmentation approach for natural language understanding and
    generation; MMCL, section 3.3.
    """
    rows, _, width = x.shape
    count = jnp.floor(ratio * width + 1e-4)  # a product that should be whole may lie just below it
    rank = jnp.argsort(jnp.argsort(random_words(key, (rows, width)), axis=-1), axis=-1)  # a permutation of each row
    return jnp.where((rank >= count)[:, None, :], x, jnp.zeros((), x.dtype))


class FeatureCutoff(nn.Module):
    """`cutoff` in training, under the "dropout" random collection.

    ratio: of the features, in [0, 1].

    Raises:
      InputError: a ratio (not traced) outside [0, 1].
    """

    ratio: float | Array

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """[B, L, D] -> [B, L, D]; `x` itself, and no key asked for, unless in training."""
        if isinstance(self.ratio, int | float) and not 0 <= self.ratio <= 1:
            raise InputError(f"option cutoff is {self.ratio}; expected a number in [0, 1]")
        return cutoff(self.make_rng("dropout"), x, self.ratio) if train else x
