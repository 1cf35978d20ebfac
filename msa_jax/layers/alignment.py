"""One time axis for all modalities: frames of audio and vision brought to the tokens of the text."""

from typing import Literal, get_args

import chex
import jax
import jax.numpy as jnp
import numpy as np

from msa_jax.layers.pooling import adaptive_mean, without_padding

Array = jax.Array

Alignment = Literal["adaptive", "required", "contiguous", "strided"]


def align(
    x: Array, length: Array, tokens: Array, steps: int, *, alignment: Alignment, padded: tuple[int, int]
) -> Array:
    """Frames of one modality on the time axis of the text.

    alignment:
      required: the frames are aligned already, frame i belongs to token i; none is averaged.
      adaptive: each sequence is averaged to as many frames as its text has tokens (`adaptive_mean`).
      contiguous, strided: what MMSA does, which asks neither for the length of the sequence nor for that of the text. Of L
        padded frames and T padded tokens, token i gets the mean of the k = ceil(L / T) frames i k, i k + 1, ... or, as in
        MMSA before December 2023, of the frames i, i + T, i + 2 T, ...; beyond the L frames the last one is repeated.

    Args:
      x: [B, S, d]; whatever stands at padding.
      length: [B] int32 in [0, S], the frames.
      tokens: [B] int32 in [0, steps], the tokens, special ones included.
      steps: of the result.
      padded: L and T, those of the training split, so that one rule holds for all splits. Only MMSA's ways read it.

    Returns:
      [B, steps, d], the dtype of `x`. Zeros from the last token on, but in MMSA's ways, where frames may follow it.
    """
    chex.assert_rank([x, length, tokens], [3, 1, 1])
    if alignment == "adaptive":
        return adaptive_mean(x, length, steps, tokens)
    x = without_padding(x, length)
    if alignment == "required":
        return jnp.pad(x[:, :steps], [(0, 0), (0, max(steps - x.shape[1], 0)), (0, 0)])
    frames, places = padded
    size = -(-frames // places)
    token, nth = np.arange(steps)[:, None], np.arange(size)[None, :]
    if alignment == "contiguous":
        read = token * size + nth  # [steps, size]
    elif alignment == "strided":
        read = token + nth * places
    else:
        raise ValueError(f"alignment is {alignment!r}; expected one of {', '.join(get_args(Alignment))}")
    return jnp.take(x, np.minimum(read, frames - 1), axis=1, mode="fill", fill_value=0).mean(2)
