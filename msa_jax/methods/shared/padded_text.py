"""Sequences with padding up to a fixed length, for the codes that read it."""

from typing import cast

import jax
import jax.numpy as jnp

from msa_jax.methods.protocol import Text

Array = jax.Array


def padded(x: Array, steps: int) -> Array:
    """[B, L, ...] -> [B, max(L, steps), ...], zeros behind."""
    return jnp.pad(x, [(0, 0), (0, max(steps - x.shape[1], 0)), *[(0, 0)] * (x.ndim - 2)])


def lengthened(text: Text, steps: int) -> Text:
    """Text that is not packed, with padding up to so many steps: as many in every split."""
    return cast(Text, jax.tree.map(lambda x: padded(x, steps), dict(text)))
