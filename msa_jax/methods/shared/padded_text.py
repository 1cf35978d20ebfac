"""Sequences with padding up to a fixed length, for the codes that read it."""

from typing import Any, cast

import jax
import jax.numpy as jnp

from msa_jax.encoders.text import TextEncoder
from msa_jax.errors import InputError
from msa_jax.layers.pooling import masked_mean, without_padding
from msa_jax.methods.protocol import Batch, Inputs, Text, frames

Array = jax.Array


def check_padding(options: Any) -> None:
    """For `__post_init__` of options that have `padding`.

    Raises:
      InputError: padding is to be read, and text is packed.
    """
    if options.padding == "included" and options.pack_text:
        raise InputError("option padding is included, which reads padding tokens; set pack_text to false with it")


def padded(x: Array, steps: int) -> Array:
    """[B, L, ...] -> [B, max(L, steps), ...], zeros behind."""
    return jnp.pad(x, [(0, 0), (0, max(steps - x.shape[1], 0)), *[(0, 0)] * (x.ndim - 2)])


def lengthened(text: Text, steps: int) -> Text:
    """Text that is not packed, with padding up to so many steps: as many in every split."""
    return cast(Text, jax.tree.map(lambda x: padded(x, steps), dict(text)))


def encode_text(
    options: Any, inputs: Inputs, batch: Batch, dtype: jnp.dtype, *, included: bool, train: bool
) -> dict[str, Array]:
    """What the text encoder gives, see `TextEncoder`. Called inside a compact `__call__`, where it makes `text_encoder`.

    included: with padding up to max_tokens, and the encoder's states there.
    """
    assert inputs.text is not None
    encoder = TextEncoder(inputs.text.bert, dtype, keep_padding=included, remat=options.remat, name="text_encoder")
    return encoder(lengthened(batch["text"], options.max_tokens) if included else batch["text"], train=train)


def time_mean(inputs: Inputs, batch: Batch, name: str, *, included: bool) -> Array:
    """[B, d], the mean of the frames of "audio" or "vision".

    included: padding counts as frames of zeros, up to the longest sequence of the training split.
    """
    features, length = frames(batch, name)["features"], frames(batch, name)["length"]
    if included:
        return without_padding(features, length).sum(1) / getattr(inputs, name).steps
    return masked_mean(features, length)
