"""A learned alignment: frames of one modality on the axis of the text, by connectionist temporal classification (CTC).

Source: the CTC module of yaohungt/Multimodal-Transformer (MIT), with which MulT's authors run methods for aligned data on
unaligned data; facts only, no line is taken from it.
"""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from msa_jax.encoders.lstm import LSTM
from msa_jax.layers.dense import Linear
from msa_jax.layers.pooling import without_padding

Array = jax.Array


class CTCAligner(nn.Module):
    """Says of each frame l how much of it belongs to each position j, p_lj, and gives every position its mean frame:

        p_l = softmax(W LSTM(x)_l),    x'_j = sum_l p_lj x_l / sum_l p_lj

    Class 0 is the blank, for frames of no position. `losses.position_ctc` of the logits teaches it in which order frames come.

    positions: T. hidden: of the LSTMs. layers: how many LSTMs.

    What the code does:
    linear: False: no W, T + 1 units in the LSTMs, whose states are the logits. They lie in (-1, 1), so that the softmax is
      nearly flat and every position gets nearly the same frame.
    normalise: False: x'_j = sum_l p_lj x_l, which grows with the number of frames.

    Parameters: `lstm_0`, `lstm_1`, ... and `positions`.
    """

    positions: int
    hidden: int = 64
    layers: int = 2
    linear: bool = True
    normalise: bool = True
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, frames: Array, length: Array) -> tuple[Array, Array]:
        """[B, L, d], [B] int32 in [0, L] -> positions [B, T, d], in the dtype of the frames, and logits [B, L, T + 1] float32.
        Behind each length positions read nothing, and logits are the bias of W, or zeros without W; where the length is 0
        positions are zeros."""
        chex.assert_rank([frames, length], [3, 1])
        classes = self.positions + 1
        frames = without_padding(frames, length)
        states = frames
        for number in range(self.layers):
            hidden = self.hidden if self.linear else classes
            states = LSTM(hidden, self.dtype, every=True, name=f"lstm_{number}")(states, length)
        logits = Linear(classes, self.dtype, name="positions")(states) if self.linear else states
        logits = logits.astype(jnp.float32)
        share = without_padding(nn.softmax(logits), length)[..., 1:]
        if self.normalise:
            share /= jnp.maximum(share.sum(1, keepdims=True), 1e-6)
        return jnp.einsum("blt,bld->btd", share.astype(frames.dtype), frames), logits
