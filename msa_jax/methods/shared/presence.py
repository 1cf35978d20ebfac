"""Which samples of a mini-batch have a modality, so that a task of that modality alone learns from these and no others.

A sample may lack one from the start, or the options modality_dropout and step_dropout took it away (data.masking).
"""

import jax

from msa_jax.methods.protocol import Batch, Inputs, frames
from msa_jax.methods.shared.masked_copies import has_words

Array = jax.Array

ENDS = 2  # the first and the last token of a text, [CLS] and [SEP]


def has(batch: Batch, name: str, inputs: Inputs) -> Array:
    """Whether each sample has something of a modality.

    Audio and vision have a frame, a text a token between the first and the last, or precomputed features that are not all
    zeros. On aligned data, where an absent modality is a silent one, a frame must not be zeros and a token not [UNK].

    Args:
      batch: as the network reads it, its text packed or not. name: of the modality. inputs: of the network.

    Returns:
      [B] bool; of no meaning for samples of weight 0.
    """
    if name != "text":
        given = frames(batch, name)
        there = given["length"] > 0
        return there & (given["features"] != 0).any((1, 2)) if inputs.aligned else there
    text, read = batch["text"], inputs.text
    assert read is not None
    if read.bert is None or (inputs.aligned and "ids" in text and read.unknown is not None):
        return has_words(text, inputs)
    return text["mask"].sum(1) > ENDS  # of states that a frozen encoder computed once, too: they come without ids
