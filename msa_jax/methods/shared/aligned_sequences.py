"""Text, audio and vision on one time axis, for methods that walk it step by step (EF-LSTM, MFN, Graph-MFN, MFM, MCTN, RAVEN),
and for MAG-BERT.

Such a method hands on the terms of a learned alignment: its network returns them, the last value of `aligned_sequences` or
of `aligned_frames`, among its outputs, its objective adds `alignment_terms`, its phase has `alignment_weights`, and its check
calls `check_alignment` if it can do without text.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp

from msa_jax import losses
from msa_jax.config import Options
from msa_jax.encoders.ctc_alignment import CTCAligner
from msa_jax.errors import InputError
from msa_jax.layers.alignment import Alignment, align
from msa_jax.layers.pooling import whole_length, without_padding
from msa_jax.methods.protocol import Batch, Clock, Inputs, Step, Terms, frames
from msa_jax.methods.shared import regression
from msa_jax.methods.shared.padded_text import check_padding, encode_text, to_steps
from msa_jax.methods.shared.presence import has
from msa_jax.modalities import SEQUENCES

Array = jax.Array


@dataclass(frozen=True, kw_only=True)
class CTCOptions:
    """A learned alignment (encoders.ctc_alignment).

    Options of the alignment:
      hidden: Width of the LSTMs that learn it.
      layers: Number of LSTMs on top of each other.
      weight: Weight of its losses, which are means over the samples. MulT's authors add them up, so that theirs is the
        batch size.
      linear: Whether a linear layer stands between the LSTMs and the softmax over positions. If false, the states of
        the LSTMs are the logits, as in the code of MulT's authors.
      normalise: Whether the weights of the frames at a position sum to one. If false, as in the code of MulT's authors,
        what is aligned grows with the number of frames.
    """

    hidden: int = 64
    layers: int = 2
    weight: float = 1.0
    linear: bool = True
    normalise: bool = True


@dataclass(frozen=True, kw_only=True)
class AlignmentOptions(Options):
    """How audio and vision come onto the axis of the text.

    Alignment:
      alignment: How sequences of their own lengths are brought to the tokens of the text, see `layers.alignment.align`;
        `mean` is another word for `adaptive`. With `ctc` the alignment is learned together with the method, which needs text.
        Nothing happens to aligned data.
      ctc: Learned alignment.
    """

    alignment: Literal[Alignment, "ctc"] = "adaptive"
    ctc: CTCOptions = CTCOptions()

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("hidden", 1), ("layers", 1), ("weight", 0)):
            if (value := getattr(self.ctc, name)) < least:
                raise InputError(f"option ctc.{name} is {value}; expected at least {least}")


@dataclass(frozen=True, kw_only=True)
class AlignedOptions(AlignmentOptions):
    """Options of methods that need all modalities on one time axis.

    Text:
      finetune_text: Whether the text encoder is trained. If false, it runs only once.
    What MMSA's code does:
      padding: `masked` leaves padding out. `included` walks padding up to `max_tokens`, or without text up to the shorter
        of the longest sequences of the training split, and needs `pack_text` false.
    """

    finetune_text: bool = False
    padding: Literal["masked", "included"] = "masked"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_padding(self)


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
) -> tuple[dict[str, Array], Array, dict[str, Array]]:
    """The modalities there are, on one time axis. Called inside a compact `__call__`, where it makes `text_encoder`, and for a
    learned alignment `audio_aligner` and `vision_aligner`.

    The axis is that of the text. Without text it is that of the sequence with fewer frames in the training split, for every
    sample that has it, and with as many places as there if padding is read. A sample without it keeps the frames of the other
    one, averaged to as many places where there are more.

    Returns:
      ({modality: [B, T, d]} in the order of `inputs.modalities`, length [B] int32 in [0, T]). Beyond its length a sample
      has zeros, but for "included" padding, where the length is T everywhere and the text encoder's states stand there.
      Third, the losses of a learned alignment, {"audio_ctc", "vision_ctc": [B] float32}; otherwise nothing.
    """
    included = options.padding == "included"
    sequences: dict[str, Array] = {}
    learned: dict[str, Array] = {}
    if inputs.text is not None:
        text = encode_text(options, inputs, batch, dtype, included=included, train=train)
        length = text["mask"].sum(-1, dtype=jnp.int32)
        steps, places = text["mask"].shape[1], inputs.text.steps
        sequences["text"] = text["hidden"] if included else without_padding(text["hidden"], length)
    else:
        axis = _axis(inputs)
        places = getattr(inputs, axis).steps
        others = [frames(batch, name) for name in SEQUENCES if name in inputs.modalities and name != axis]
        steps, length = frames(batch, axis)["features"].shape[1], frames(batch, axis)["length"]
        for other in others:
            steps = max(steps, min(places, other["features"].shape[1]))
            length = jnp.where(length > 0, length, jnp.minimum(other["length"], places))
        steps = places if included else steps
        length = jnp.minimum(length, steps)
    for name in SEQUENCES:
        if name in inputs.modalities:
            sequences[name], losses_of = aligned_frames(
                options, inputs, batch, dtype, name, tokens=length, steps=steps, places=places, included=included
            )
            learned |= losses_of
    if included:
        length = whole_length(len(length), steps)
    return sequences, length, learned


def aligned_frames(
    options: AlignmentOptions,
    inputs: Inputs,
    batch: Batch,
    dtype: jnp.dtype,
    name: str,
    *,
    tokens: Array,
    steps: int,
    places: int,
    included: bool = False,
) -> tuple[Array, dict[str, Array]]:
    """One sequence on an axis. Called inside a compact `__call__`, where it makes `{name}_aligner` for a learned alignment.

    Args:
      name: audio or vision.
      tokens: [B] int32 in [0, steps], the places on the axis that each sample has.
      steps: of the axis in this batch. places: in the training split.
      included: padding is read too, as MMSA's code does.

    Returns:
      [B, steps, d], zeros beyond a sample's places if padding is not read; and {"audio_ctc" or "vision_ctc": [B] float32},
      the loss of a learned alignment, otherwise nothing.
    """
    features, own = frames(batch, name)["features"], frames(batch, name)["length"]
    most = getattr(inputs, name).steps
    learned: dict[str, Array] = {}
    if f"{name}_ctc" in _terms(options, inputs):
        read = tokens
        if included:
            features, own = to_steps(without_padding(features, own), most), whole_length(len(own), most)
            read = whole_length(len(tokens), options.max_tokens)
        found, logits = _aligner(options, dtype, name)(features, own)
        learned[f"{name}_ctc"] = losses.position_ctc(logits, own, read)
        found = to_steps(found, steps)
    else:
        way = "required" if inputs.aligned or options.alignment == "ctc" else options.alignment
        found = align(features, own, tokens, steps, alignment=way, padded=(most, places))
    return found if included else without_padding(found, tokens), learned


def _aligner(options: AlignmentOptions, dtype: jnp.dtype, name: str) -> CTCAligner:
    ctc = options.ctc
    rules = ctc.hidden, ctc.layers, ctc.linear, ctc.normalise
    return CTCAligner(options.max_tokens, *rules, dtype, name=f"{name}_aligner")


def _terms(options: AlignmentOptions, inputs: Inputs) -> tuple[str, ...]:
    """The losses of a learned alignment."""
    if options.alignment != "ctc" or inputs.aligned:
        return ()
    return tuple(f"{name}_ctc" for name in SEQUENCES if name in inputs.modalities)


def alignment_terms(step: Step, options: AlignmentOptions, inputs: Inputs) -> Terms:
    """The losses of a learned alignment, for the objective."""
    return {name: step.outputs[name] for name in _terms(options, inputs)}


def objective(step: Step, options: AlignedOptions, inputs: Inputs) -> tuple[Terms, Any]:
    """L1 on the human label, and the losses of a learned alignment."""
    terms, memory = regression.objective(step, options, inputs)
    return {**terms, **alignment_terms(step, options, inputs)}, memory


def has_to_write(step: Step, options: AlignedOptions, inputs: Inputs, name: str) -> Array:
    """[B] bool, the samples that count and have something of a modality. Where padding is "included" zeros are data, as in
    MMSA's code, and only a length of 0 tells that a sample has no frames."""
    counts = step.batch["weight"] > 0
    if options.padding == "masked":
        return counts & has(step.batch, name, inputs)
    return counts & (frames(step.batch, name)["length"] > 0) if name in SEQUENCES else counts


def rewriting_error(
    step: Step, options: AlignedOptions, inputs: Inputs, name: str, written: Array, target: Array, length: Array
) -> Array:
    """Squared error of a modality that is written again (losses.sequence_l2), for the objective.

    The mean of the batch is that over the samples that have the modality: others would teach to write zeros, or of a text the
    states of [CLS] and [SEP] alone. A sample has it as `has_to_write` says, and if padding is not read, where something of its
    target is not zero.

    Args:
      name: of the modality.
      written, target: [B, T, d]. No gradient flows into the target.
      length: [B] int32, the steps that count.

    Returns:
      [B] float32, 0 for samples that do not have it or do not count.
    """
    target, counts = jax.lax.stop_gradient(target), step.batch["weight"] > 0
    there = has_to_write(step, options, inputs, name)
    if options.padding == "masked":
        there &= (target != 0).any((1, 2))
    error = losses.sequence_l2(written, target, length, where=there)
    return error * (counts.sum() / jnp.maximum(there.sum(), 1)).astype(error.dtype)


def alignment_weights(
    options: AlignmentOptions, inputs: Inputs, memory: Any, clock: Clock
) -> Mapping[str, Array | float]:
    """Their weights."""
    return dict.fromkeys(_terms(options, inputs), options.ctc.weight)


def check_alignment(options: AlignmentOptions, inputs: Inputs) -> None:
    """A learned alignment needs the tokens that it aligns with.

    Raises:
      InputError: there are none.
    """
    if options.alignment == "ctc" and inputs.text is None and not inputs.aligned:
        raise InputError("option alignment is ctc, which aligns frames with tokens, and the dataset has no text")


def alignment_notes(options: Any, inputs: Inputs) -> tuple[str, ...]:
    """That sequences of their own lengths are brought onto one axis, by the option `alignment`."""
    moved = [name for name in SEQUENCES if name in inputs.modalities]
    if inputs.aligned or len(inputs.modalities) < 2:
        return ()
    owner = "text's tokens" if inputs.text is not None else f"steps of {_axis(inputs)}"
    moved = [name for name in moved if inputs.text is not None or name != _axis(inputs)]
    way = "brought by a learned alignment" if options.alignment == "ctc" else "averaged"
    return (f"{' and '.join(moved)} {way} onto the {owner} (alignment {options.alignment})",)


def _axis(inputs: Inputs) -> str:
    """Of the sequences there are, the one with fewer frames in the training split."""
    return min((name for name in SEQUENCES if name in inputs.modalities), key=lambda name: getattr(inputs, name).steps)
