"""Text, audio and vision as sequences of their own lengths, for the methods that read them so."""

from typing import Any

import jax
import jax.numpy as jnp

from msa_jax.layers.pooling import without_padding
from msa_jax.methods.protocol import Batch, Inputs, frames
from msa_jax.methods.shared.padded_text import encode_text, to_steps
from msa_jax.modalities import SEQUENCES

Array = jax.Array

# What the codes of SPT and of SUGRM do with the Sparse Phased Transformer: no input window shifts, and no attention weight is
# dropped.
SPT_REFERENCE: dict[str, Any] = {"spt.input_shift": "", "spt.attention_dropout": 0.0}


def sequences_of(
    options: Any, inputs: Inputs, batch: Batch, dtype: jnp.dtype, *, included: bool, train: bool
) -> tuple[dict[str, Array], dict[str, Array]]:
    """The modalities there are. Called inside a compact `__call__`, where it makes `text_encoder`.

    included: text has max_tokens steps and a sequence those of the training split, whatever the arrays of the batch have:
      shorter ones are padded and longer ones cut. The text encoder's states stand at the padding of text.

    Returns:
      ({modality: [B, L, d]} in the order of `inputs.modalities`, {modality: length [B] int32}); but for included text
      zeros from each length on.
    """
    sequences: dict[str, Array] = {}
    length: dict[str, Array] = {}
    if inputs.text is not None:
        text = encode_text(options, inputs, batch, dtype, included=included, train=train)
        length["text"] = text["mask"].sum(-1)
        sequences["text"] = text["hidden"] if included else without_padding(text["hidden"], length["text"])
    own, own_length = frames_of(inputs, batch, included=included)
    return {**sequences, **own}, {**length, **own_length}


def frames_of(inputs: Inputs, batch: Batch, *, included: bool) -> tuple[dict[str, Array], dict[str, Array]]:
    """Audio and vision as far as they are there, as `sequences_of` gives them."""
    sequences: dict[str, Array] = {}
    length: dict[str, Array] = {}
    for name in SEQUENCES:
        if (shape := getattr(inputs, name)) is not None:
            features, own = jnp.asarray(frames(batch, name)["features"]), frames(batch, name)["length"]
            if included:
                features, own = to_steps(features, shape.steps), jnp.minimum(own, shape.steps)
            sequences[name], length[name] = without_padding(features, own), own
    return sequences, length
