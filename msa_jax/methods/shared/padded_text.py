"""Sequences with padding up to a fixed length, which the arrays of a batch do not change, for the codes that read it."""

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
      InputError: padding is to be read, and text is packed; or it is not, and a mask over future steps counts it.
    """
    if options.padding == "included" and options.pack_text:
        raise InputError("option padding is included, which reads padding tokens; set pack_text to false with it")
    if options.padding == "masked" and getattr(options, "future_mask", "none") == "offset":
        raise InputError("option future_mask is offset, which counts padded steps; set padding to included with it")


def to_steps(x: Array, steps: int) -> Array:
    """[B, L, ...] -> [B, steps, ...], zeros behind; what is longer is cut."""
    return jnp.pad(x[:, :steps], [(0, 0), (0, max(steps - x.shape[1], 0)), *[(0, 0)] * (x.ndim - 2)])


def text_to_steps(text: Text, steps: int) -> Text:
    """Text that is not packed, with so many steps, as in every split."""
    return cast(Text, jax.tree.map(lambda x: to_steps(x, steps), dict(text)))


def steps_of(options: Any, inputs: Inputs, name: str, *, included: bool) -> int:
    """How many steps a network reads of a modality: those of the training split.

    included: of text up to max_tokens, with its padding, or those of the training split if its features have more.
    """
    steps = getattr(inputs, name).steps
    return max(steps, options.max_tokens) if included and name == "text" else steps


def encode_text(
    options: Any, inputs: Inputs, batch: Batch, dtype: jnp.dtype, *, included: bool, train: bool, tokens: bool = True
) -> dict[str, Array]:
    """What the text encoder gives, see `TextEncoder`. Called inside a compact `__call__`, where it makes `text_encoder`.

    included: with padding, as many steps as `steps_of` says, and the encoder's states there.
    tokens: the states of all tokens, and not of the first alone.
    """
    assert inputs.text is not None
    encoder = TextEncoder(
        inputs.text.bert, dtype, keep_padding=included, tokens=tokens, remat=options.remat, name="text_encoder"
    )
    steps = steps_of(options, inputs, "text", included=included)
    return encoder(text_to_steps(batch["text"], steps) if included else batch["text"], train=train)


def time_mean(inputs: Inputs, batch: Batch, name: str, *, included: bool) -> Array:
    """[B, d], the mean of the frames of "audio" or "vision".

    included: padding counts as frames of zeros, up to the longest sequence of the training split.
    """
    features, length = frames(batch, name)["features"], frames(batch, name)["length"]
    if included:
        return without_padding(features, length).sum(1) / getattr(inputs, name).steps
    return masked_mean(features, length)
