"""Connectionist temporal classification, of frames that belong to the positions 1, 2, ..., n of a sequence."""

import chex
import jax
import jax.numpy as jnp

Array = jax.Array


def position_ctc(logits: Array, length: Array, positions: Array) -> Array:
    """Minus the log-likelihood that frames, read as classes, say 1, 2, ..., n (Graves et al. 2006; MulT, "CTC" rows).

    A frame says blank, class 0, or a position, class 1 to T; repeats and blanks are left out. As no position equals the one
    before it, n frames are enough.

    Args:
      logits: [B, L, T + 1], not normalised; finite numbers at padding.
      length: [B] int32 in [0, L], the frames.
      positions: [B] int32 in [0, T], n.

    Returns:
      [B] float32, not negative. 0, without a gradient, where there are fewer frames than positions, or no positions.
    """
    import optax  # a fifth of a second, which no other loss needs

    chex.assert_rank([logits, length, positions], [3, 1, 1])
    rows, steps, classes = logits.shape
    labels = jnp.broadcast_to(jnp.arange(1, classes)[None], (rows, classes - 1))
    after = (jnp.arange(steps)[None] >= length[:, None]).astype(jnp.float32)
    unused = (labels > positions[:, None]).astype(jnp.float32)
    loss = optax.ctc_loss(logits.astype(jnp.float32), after, labels, unused)
    return jnp.where((length >= positions) & (positions > 0), loss.astype(jnp.float32), 0.0)
