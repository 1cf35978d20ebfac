"""Text, audio and vision on one time axis, for the methods that walk it step by step (EF-LSTM, MFN, Graph-MFN, MFM)."""

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp

from msa_jax.config import Options
from msa_jax.encoders.text import TextEncoder
from msa_jax.errors import InputError
from msa_jax.layers.alignment import Alignment, align
from msa_jax.layers.pooling import without_padding
from msa_jax.methods.protocol import Batch, Inputs, frames
from msa_jax.methods.shared.padded_text import lengthened
from msa_jax.modalities import SEQUENCES

Array = jax.Array


@dataclass(frozen=True, kw_only=True)
class AlignedOptions(Options):
    """Options of methods that need all modalities on one time axis.

    finetune_text: train the text encoder; off, it runs once.
    alignment: how sequences of their own lengths come onto the axis of the text, see `layers.alignment.align`; nothing
      happens to data that is aligned.

    What MMSA's code does (on in the reference protocol):
    padding: "masked", or "included": padding is walked up to max_tokens, and the last state is that of the last padded
      step; that needs pack_text false.
    """

    finetune_text: bool = False
    alignment: Alignment = "adaptive"
    padding: Literal["masked", "included"] = "masked"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.padding == "included" and self.pack_text:
            raise InputError("option padding is included, which reads padding tokens; set pack_text to false with it")


ALIGNED_REFERENCE: dict[str, Any] = {
    "alignment": "contiguous",
    "padding": "included",
    "pack_text": False,
    "weight_decay_mode": "coupled",
    "validation_mean": "batches",
    "validation_decimals": 4,
    "max_epochs": 1000,
}


def aligned_sequences(
    options: AlignedOptions, inputs: Inputs, batch: Batch, dtype: jnp.dtype, *, train: bool
) -> tuple[dict[str, Array], Array]:
    """The modalities there are, on one time axis. Called inside a compact `__call__`, where it makes `text_encoder`.

    The axis is that of the text. Without text it is that of the sequence with fewer frames in the training split, for every
    sample.

    Returns:
      ({modality: [B, T, d]} in the order of `inputs.modalities`, length [B] int32 in [0, T]). Beyond its length a sample
      has zeros, but for "included" padding, where the length is T everywhere and the text encoder's states stand there.
    """
    included = options.padding == "included"
    sequences: dict[str, Array] = {}
    if inputs.text is not None:
        encoder = TextEncoder(inputs.text.bert, dtype, keep_padding=included, remat=options.remat, name="text_encoder")
        text = encoder(lengthened(batch["text"], options.max_tokens) if included else batch["text"], train=train)
        length = text["mask"].sum(-1)
        steps, padded = text["mask"].shape[1], inputs.text.steps
        sequences["text"] = text["hidden"] if included else without_padding(text["hidden"], length)
    else:
        axis = _axis(inputs)
        length, steps = frames(batch, axis)["length"], frames(batch, axis)["features"].shape[1]
        padded = getattr(inputs, axis).steps
    for name in SEQUENCES:
        if (shape := getattr(inputs, name)) is not None:
            features, own = frames(batch, name)["features"], frames(batch, name)["length"]
            way = "required" if inputs.aligned else options.alignment
            sequences[name] = align(features, own, length, steps, alignment=way, padded=(shape.steps, padded))
            if not included:
                sequences[name] = without_padding(sequences[name], length)
    if included:
        length = jnp.full_like(length, steps)
    return sequences, length


def alignment_notes(options: Any, inputs: Inputs) -> tuple[str, ...]:
    """That sequences of their own lengths are brought onto one axis, by the option `alignment`."""
    moved = [name for name in SEQUENCES if name in inputs.modalities]
    if inputs.aligned or len(inputs.modalities) < 2:
        return ()
    owner = "text's tokens" if inputs.text is not None else f"steps of {_axis(inputs)}"
    moved = [name for name in moved if inputs.text is not None or name != _axis(inputs)]
    return (f"{' and '.join(moved)} averaged onto the {owner} (alignment {options.alignment})",)


def _axis(inputs: Inputs) -> str:
    """Of the sequences there are, the one with fewer frames in the training split."""
    return min((name for name in SEQUENCES if name in inputs.modalities), key=lambda name: getattr(inputs, name).steps)
